"""Every loop on a language model, run once from the command's own builders on the device and in the type given.

`python language_loops.py FOLDER DEVICE:DTYPE …` prints one JSON line a loop and device: its name, its last metrics, or
what it failed with. `elsewhere` is the pretended accelerator of `reference.elsewhere`.
"""

import contextlib
import json
import sys
import traceback
from pathlib import Path

import torch

REWARD = """
from operant.task import Example, Task, reward

@reward(pure=True, best=None)
def letters(trace):
    return len(set(trace.completion)) / 10

@reward(pure=True)
def each(trace):
    return [(i + 1, float(c in "aeiou")) for i, c in enumerate(trace.completion)]

def task():
    made = [Example(prompt=f"say {i}", gold="", solution="aeiou") for i in range(24)]
    return Task(name="mine", train=made[:16], test=made[16:], rewards={"letters": letters}, step_reward=each)
"""


FEW = ("sft", "reward-model", "dpo", "grpo", "rlhf, learnt")
"""The loops that are run in other types than float32."""


def write(folder: Path) -> None:
    """The files that the loops read."""
    (folder / "mine.py").write_text(REWARD)
    lines = {
        "texts": [{"prompt": f"{i} + 1 =", "completion": f" {i + 1}"} for i in range(12)],
        "pairs": [
            {"prompt": f"say {i}:", "chosen": "yes", "rejected": "no no", "group": "ab"[i % 2]} for i in range(12)
        ],
        "verdicts": [
            {"prompt": f"say {i}:", "completion": "yes" if i % 2 else "no no", "label": bool(i % 2)} for i in range(12)
        ],
        "steps": [{"prompt": f"{i} ", "steps": [f"a{i}", f"b{i}"], "labels": [True, i % 2 == 0]} for i in range(12)],
    }
    for name, some in lines.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in some))


def loops(folder: Path) -> dict[str, tuple[str, str, dict[str, object]]]:
    """By name: the algorithm, its data and its settings."""
    few = {"algo.batch": 4, "total_steps": 8, "algo.tokens": 64}
    group = {"algo.prompts": 2, "algo.samples": 4, "algo.batch": 4, "algo.tokens": 64, "total_steps": 2}
    group |= {"sampling.max_tokens": 6, "algo.epochs": 2}
    return {
        "sft": ("sft", "texts.jsonl", few),
        "sft on a task, packed": ("sft", "mine.py", few | {"algo.packing": True, "sampling.max_tokens": 6}),
        "reward-model": ("reward-model", "pairs.jsonl", few),
        "process-reward": ("process-reward", "steps.jsonl", few),
        "dpo": ("dpo", "pairs.jsonl", few),
        "gr_dpo": ("dpo", "pairs.jsonl", few | {"algo.loss": "gr_dpo"}),
        "kto": ("dpo", "verdicts.jsonl", few | {"algo.loss": "kto"}),
        "grpo": ("grpo", "mine.py", group | {"algo.beta": 0.04, "sampling.top_p": 0.9}),
        "grpo, adapters": ("grpo", "mine.py", group | {"model.lora_rank": 2, "algo.beta": 0.04}),
        "grpo, process": ("grpo", "mine.py", group | {"algo.supervision": "process"}),
        "rlhf": ("rlhf", "mine.py", group),
        "rlhf, learnt": ("rlhf", "mine.py", group | {"reward.path": str(folder / "runs" / "learnt")}),
    }


def run(device: str, dtype: str, folder: Path) -> None:
    """Each loop in turn."""
    import operant
    from operant.language.cpu import numba_decoder as compiled
    from operant.language.sample import cuda_graph_decoder as static
    from reference.tiny_language import tiny_language

    folder.mkdir()
    write(folder)
    tiny_language("qwen2").save(folder / "model")
    compiled.obstacle = lambda policy: "a test"
    static.serves = lambda policy: policy.whole is None
    quick = {
        "quiet": True,
        "eval.episodes": 2,
        "eval.samples": 2,
        "eval.before": False,
        "save.report": False,
        "threads": 1,
    }
    quick |= {"model.path": str(folder / "model"), "model.dtype": dtype, "device": device}
    for name, (algorithm, data, settings) in loops(folder).items():
        if dtype != "float32" and name not in FEW:
            continue
        if algorithm == "sft":
            settings = settings | {"save.every": 8}
        try:
            made = operant.train(algorithm, str(folder / data), runs=folder / "runs" / name, **quick | settings)
            if name == "reward-model":
                folder.joinpath("runs", "learnt").symlink_to(made.path)
            apart = ("phase", "speed", "time")
            told = [k for k in made.metrics if "/" in k and k.split("/")[0] not in apart]
            found = {k: float(made.metrics[k].dropna().iloc[-1]) for k in told if made.metrics[k].notna().any()}
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)
            inside = [f"{Path(f.filename).name}:{f.lineno}" for f in where if "operant" in f.filename]
            found = {"error": f"{type(error).__name__}: {str(error)[:300]}", "at": inside[-3:]}
        print(json.dumps({"loop": name, "on": f"{device}:{dtype}"} | found), flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    torch.set_num_threads(1)
    from reference.elsewhere import Pretend

    pretend = Pretend()  # torch counts its devices at the first backward pass
    for each in sys.argv[2:]:
        device, dtype = each.split(":")
        with pretend if device == "elsewhere" else contextlib.nullcontext():
            run(device, dtype, Path(sys.argv[1]) / each.replace(":", "-"))
