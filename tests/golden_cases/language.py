"""Golden runs of language models: every algorithm, loss, preset and decoder on models of a few thousand parameters."""

from __future__ import annotations

import json

from golden_cases.case import Case, command

QUICK = "--eval.episodes 4 --eval.samples 2 --no-save.report --threads 1"
MODEL = "--model model"
LEARNING = f"{QUICK} {MODEL} --save.every 8"
LEARN = f"{LEARNING} --algo.batch 4 --algo.lr 1e-2"
SAMPLE = f"{QUICK} {MODEL} --save.every 2 --sampling.max-tokens 4 --algo.lr 1e-2"
SMALL = "--base.width 32 --base.layers 1 --sampling.max-tokens 4"
GRPO = f"{SAMPLE} --algo.prompts 2 --algo.samples 4 --algo.batch 4"

TASK = """
from operant.task import Demonstration, Example, Task, reward

@reward(pure=True, best=1.0)
def letters(trace):
    return min(len(set(trace.completion)) / 10, 1.0)

@reward(pure=True, best=None)
def early(trace):
    return sum(c == "e" for c in trace.completion)

@reward(pure=True)
def vowels(trace):
    return [(i + 1, 1.0 if c in "aeiou" else 0.1) for i, c in enumerate(trace.completion)]

def task():
    made = [Example(prompt=f"say {i}", gold="", solution="abcdefghij") for i in range(40)]
    shown = [Demonstration(prompt=f"say {i}", completion="abcdefghij"[i % 7 :]) for i in range(60)]
    rewards = {"letters": letters, "early": early}
    return Task(name="mine", train=made[:30], test=made[30:], rewards=rewards, step_reward=vowels, demonstrations=shown)
"""

STEPS = """
from operant.reward import ExactSteps
from operant.task import Example, Task, reward

@reward(pure=True, best=1.0)
def correct(trace):
    return float(trace.completion == trace.gold)

def task():
    made = [
        Example(prompt=f"{i} ", gold=f"a{i}=b{i}", solution=f"a{i}=b{i}", metadata={"steps": [f"a{i}", f"b{i}"]})
        for i in range(24)
    ]
    return Task(name="steps", train=made[:16], test=made[16:], rewards={"correct": correct}, step_reward=ExactSteps())
"""


def lines(*of: dict[str, object]) -> str:
    """JSON, an object a line."""
    return "".join(json.dumps(line) + "\n" for line in of)


NUMBERS = range(24)
SUMS = lines(*({"prompt": f"{i} + 1 =", "completion": f" {i + 1}"} for i in range(30)))
TURNS = ("user", "one"), ("assistant", "two three"), ("user", "four"), ("assistant", "five")
TALK = lines(*({"messages": [{"role": r, "content": f"{c} {i}"} for r, c in TURNS]} for i in NUMBERS))
PAIRED = [{"prompt": f"say {i}:", "chosen": "yes", "rejected": "no" * (1 + i % 3)} for i in NUMBERS]
PAIRS = lines(*(pair | {"group": "ab"[i % 3 == 0]} for i, pair in enumerate(PAIRED)))
MARGINS = lines(*(pair | {"margin": i % 2} for i, pair in enumerate(PAIRED)))
SURE = lines(*(pair | {"probability": 0.6 + i % 4 / 10} for i, pair in enumerate(PAIRED)))
RANKS = lines(
    *({"prompt": f"say {i}:", "answers": ["yes", "no no", "maybe"], "ranks": [0, 1, 1 + i % 2]} for i in NUMBERS)
)
VERDICTS = lines(
    *({"prompt": f"say {i}:", "completion": ["yes", "no no"][i % 2], "label": i % 2 == 0} for i in NUMBERS)
)
JUDGED = lines(
    *(
        {"prompt": f"{i} ", "steps": [f"a{i}", ["a", "b"][i % 2] + str(i)], "labels": [True, i % 2 == 0]}
        for i in NUMBERS
    )
)
ASKED = lines(*({"prompt": f"How many letters are in {'banana'[: 1 + i % 6]} {i}?"} for i in NUMBERS))
FILES = {
    "mine.py": TASK, "steps.py": STEPS, "sums.jsonl": SUMS, "talk.jsonl": TALK, "pairs.jsonl": PAIRS,
    "margins.jsonl": MARGINS, "sure.jsonl": SURE,
    "ranks.jsonl": RANKS, "verdicts.jsonl": VERDICTS, "steps.jsonl": JUDGED, "asked.jsonl": ASKED,
}  # fmt: skip

REPORT = "report 1/run"
SAY = (REPORT, 'sample 1/run "say 3" --samples 2 --seed 5 --max-tokens 4 --json')
SPEAK = ("eval 1/run --episodes 3 --json", *SAY)


def run(name: str, *commands: str, model: str = "llama", after: tuple[str, ...] = ()) -> Case:
    """Short runs of a language model, with the files that they name."""
    files = {file: text for file, text in FILES.items() if any(file in command for command in commands)}
    return Case(name=f"language/{name}", commands=tuple(map(command, commands)), files=files, model=model, after=after)


def learnt(name: str, what: str, flags: str = "", steps: int = 16, after: tuple[str, ...] = ()) -> Case:
    """A run that learns from examples."""
    return run(name, f"train {what} {LEARN} --total-steps {steps} {flags}", after=after)


LONGER = ("resume 1/run --to 32",)
LEARNT = (
    learnt("sft", "sft sums.jsonl", after=("reproduce 1/run --json", *SAY, *LONGER)),
    learnt("sft-talk", "sft talk.jsonl", "--algo.lr-schedule cosine --algo.learn completion"),
    learnt("sft-all-unpacked", "sft talk.jsonl", "--algo.learn all --no-algo.packing --algo.lr-schedule constant"),
    learnt("sft-lora", "sft sums.jsonl", "--model.lora-rank 4", after=(*SAY, *LONGER)),
    learnt("sft-bfloat16", "sft sums.jsonl", "--model.dtype bfloat16 --algo.weight-decay 0.1"),
    learnt("sft-recompute", "sft sums.jsonl", "--model.recompute --algo.tokens 64"),
    run("sft-from-nothing", f"train sft mine.py {QUICK} --save.every 8 --algo.batch 4 --total-steps 16 {SMALL}",
        model=""),
    learnt("reward-model", "reward-model pairs.jsonl", after=(REPORT, *LONGER)),
    learnt("reward-model-margins", "reward-model margins.jsonl", "--algo.tokens 64"),
    learnt("reward-model-soft", "reward-model sure.jsonl", "--algo.loss soft_label"),
    learnt("reward-model-ranking", "reward-model ranks.jsonl", "--algo.loss ranking --algo.centring 0.1"),
    learnt("process-reward", "process-reward steps.jsonl", "--algo.separator =", after=(REPORT, *LONGER)),
    learnt("process-reward-task", "process-reward steps.py", "--algo.separator = --algo.prompts 16 --algo.samples 16 "
           "--sampling.max-tokens 16"),
    learnt("dpo", "dpo pairs.jsonl", after=(*SAY, *LONGER)),
    *(learnt(f"dpo-{loss}", "dpo pairs.jsonl", f"--algo.loss {loss}") for loss in ("cdpo", "rdpo", "ipo", "hinge")),
    learnt("dpo-sure", "dpo sure.jsonl", "--algo.loss cdpo"),
    learnt("dpo-forward", "dpo pairs.jsonl", "--algo.divergence forward_kl"),
    learnt("dpo-jensen-shannon", "dpo pairs.jsonl", "--algo.divergence jensen_shannon --algo.tokens 64"),
    learnt("dpo-groups", "dpo pairs.jsonl", "--algo.loss gr_dpo --algo.group-step 0.5", after=(REPORT, *LONGER)),
    learnt("dpo-groups-ipo", "dpo pairs.jsonl", "--algo.loss gr_ipo --algo.group-adjustment 1"),
    learnt("dpo-lora", "dpo pairs.jsonl", "--model.lora-rank 4"),
    learnt("kto", "dpo verdicts.jsonl", "--algo.loss kto --algo.undesirable-weight 2", after=(*SAY, *LONGER)),
)  # fmt: skip

RM = f"train reward-model pairs.jsonl {LEARN} --total-steps 8"
PRM = f"train process-reward steps.jsonl {LEARN} --total-steps 8 --algo.separator ="
ITERATE = ("resume 1/run --to 4",)
JUDGE = ("eval 2/run --episodes 3 --json", "report 2/run", "resume 2/run --to 4")
ADAPTIVE = "--algo.beta 0.01 --algo.beta-schedule adaptive --algo.kl k2"


def grpo(name: str, flags: str = "", *before: str, model: str = "llama", after: tuple[str, ...] = ()) -> Case:
    """A few steps of GRPO."""
    return run(f"grpo-{name}", *before, f"train grpo mine.py {GRPO} --total-steps 2 {flags}", model=model, after=after)


SAMPLED = (
    grpo("plain", ADAPTIVE, after=(*SPEAK, *ITERATE)),
    grpo("threads", "--threads 2 --algo.batch 8 --algo.epochs 2 --algo.tokens 40"),
    grpo("qwen3", model="qwen3"),
    grpo("gemma", model="gemma"),
    grpo("gpt2", ADAPTIVE, model="gpt2", after=(*SPEAK, *ITERATE)),
    grpo("lora", f"--model.lora-rank 4 {ADAPTIVE}", after=(*SPEAK, *ITERATE)),
    grpo("bfloat16", "--model.dtype bfloat16"),
    *(grpo(preset.replace("_", "-"), f"--preset {preset} --algo.resample 0") for preset in (
        "deepseekmath", "deepseekmath_process", "dr_grpo", "gspo", "cispo", "rloo", "reinforce_pp", "loop", "gdpo",
        "trl_1_16")),
    grpo("dapo", "--preset dapo --algo.resample 1 --algo.truncated mask"),
    grpo("steps-and-outcome", "--algo.supervision both", after=(*SPEAK, *ITERATE)),
    grpo("judge-of-steps", "--algo.supervision process --process.model 1/run", PRM, after=JUDGE),
    *(grpo(f"correction-{way.replace('_', '-')}", f"--algo.correction {way} --algo.correction-max 1 --algo.epochs 2")
      for way in ("step_truncate", "step_mask", "sequence_truncate", "sequence_mask")),
    grpo("reference-moves", "--algo.beta 0.1 --algo.reference-every 1 --no-algo.kl-corrected"),
    grpo("off-policy", "--algo.off-policy 0.001 --algo.epochs 3 --algo.scale batch --algo.lr-schedule linear"),
    grpo("narrow-draws", "--sampling.temperature 0.7 --sampling.top-k 20 --sampling.top-p 0.9 --sampling.min-p 0.01"),
    grpo("long", "--sampling.max-tokens 40 --algo.samples 8 --sampling.slots 5 --algo.overlong 0.5"),
    run("grpo-small-base", f"train grpo mine.py {QUICK} --total-steps 2 --base.examples 128 {SMALL} "
        "--algo.prompts 2 --algo.samples 4 --save.every 2", model="",
        after=("eval 1/run --episodes 3 --json",)),
    run("rlhf", f"train rlhf mine.py {SAMPLE} --algo.prompts 4 --total-steps 2 --algo.whiten --algo.batch 4",
        after=(*SPEAK, *ITERATE)),
    run("rlhf-reward-model", RM, f"train rlhf mine.py {SAMPLE} --algo.prompts 4 --algo.samples 2 --algo.epochs 2 "
        f"--algo.batch 4 --total-steps 2 --reward.path 1/run --reward.offset 0.5 --algo.beta-schedule adaptive",
        after=JUDGE),
    run("rlhf-switches", f"train rlhf mine.py {SAMPLE} --algo.prompts 4 --total-steps 2 --algo.scale-reward "
        "--algo.truncated bootstrap --algo.eos-penalty 1 --algo.beta-schedule linear --algo.value-clip none"),
    run("rlhf-ptx", f"train rlhf mine.py {SAMPLE} --algo.prompts 4 --total-steps 2 --algo.ptx-coef 0.5 "
        "--algo.ptx-batch 4 --model.lora-rank 4"),
    *(run(f"expert-iteration-{keep}", f"train expert-iteration mine.py {SAMPLE} --algo.prompts 2 --algo.samples 8 "
          f"--algo.batch 4 --algo.threshold 0 --algo.keep {keep} --sampling.max-tokens 40 --total-steps 2",
          after=(*SPEAK, *ITERATE)) for keep in ("correct", "best")),
)  # fmt: skip

PRINCIPLED = f"train constitutional asked.jsonl {LEARNING} --sampling.max-tokens 6 --algo.prompts 16"
SAYING = (
    run("constitutional-revision", f"{PRINCIPLED} --total-steps 16 --algo.revisions 1 --sft.batch 4 --sft.lr 1e-2",
        after=("report 1/run", "resume 1/run --to 32")),
    run("constitutional-feedback", f"{PRINCIPLED} --total-steps 16 --algo.stage feedback --preference.batch 4 "
        "--preference.lr 1e-2", after=("report 1/run", "resume 1/run --to 32")),
    *(run(f"sample-{family}", 'sample model "The sum of" --samples 3 --seed 1 --max-tokens 24 --threads 1 --json',
          'sample model "The sum of" --temperature 0 --seed 1 --max-tokens 24 --threads 1 --json',
          'sample model "hello" --chat --seed 2 --top-k 9 --top-p 0.9 --stop e --max-tokens 24 --threads 1 --json',
          model=family) for family in ("llama", "qwen3", "gpt2")),
    run("search", RM, f"train grpo mine.py {GRPO} --total-steps 1 --no-eval.before",
        "eval 2/run --episodes 3 --votes 4 --best-of 4 --judge 1/run --json"),
    run("tasks", *(f"task check {task}" for task in ("arithmetic", "modular", "reverse", "sort", "mine.py")), model=""),
)  # fmt: skip

CASES = (*LEARNT, *SAMPLED, *SAYING)
