"""Language models on a GPU: sampling against transformers, a step of GRPO against TRL, and the memory of both.

    python bench/language_gpu.py [--rounds 3] [--prompts 64] [--group 16] [--tokens 512]
    python bench/language_gpu.py --device cpu --tiny --rounds 1     # only to see that the script runs

A model in the shape of Qwen2.5-0.5B with random weights from its config, bfloat16; 64 prompts of 128 tokens, 16 samples
of each, 512 tokens each (nothing stops). Sampling: our engine, with a row for every completion; `generate`, its batch
halved until it fits; continuous batching of transformers with its defaults. A step of GRPO: sampling, a reward that
costs nothing, one gradient step on all completions, with float32 weights for the optimiser on both sides (ours: copies;
TRL: its default, autocast over float32 weights). One process a side and round, taking turns; a process warms up by one
call or step and reports the median of the next. A side that fails is told as such.

Prints one line of JSON: tokens a second and peak memory of each side (bytes of the device; on a CPU of the process),
ratios, and the share of the bandwidth limit: the weights once a step, the keys of a prompt once for its group, and
those of every row, at the speed of a sum over a gigabyte measured beside it. Without a CUDA device the line says that
it was skipped. It has not been run on one yet: there are no figures of it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

from _interleave import Measurement, measure, say

SHAPE = {
    "vocab_size": 151_936, "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
    "num_attention_heads": 14, "num_key_value_heads": 2, "max_position_embeddings": 32_768, "rms_norm_eps": 1e-6,
}  # fmt: skip
TINY = {
    "vocab_size": 300, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
}  # fmt: skip
SAMPLERS = ("ours", "generate", "batching")
STEPS = ("grpo", "trl")
MEASURED = 2
"""Calls or steps of a process after the first."""


def model_of(args: argparse.Namespace, dtype: str = "bfloat16") -> Any:
    """Random weights."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        **(TINY if args.tiny else SHAPE), tie_word_embeddings=True, bos_token_id=None, eos_token_id=1, pad_token_id=0
    )
    return Qwen2ForCausalLM(config).to(args.device, getattr(torch, dtype)).eval()


def prompts_of(args: argparse.Namespace, count: int) -> list[list[int]]:
    """Random tokens."""
    import numpy as np

    vocab = (TINY if args.tiny else SHAPE)["vocab_size"]
    return np.random.default_rng(args.seed).integers(2, vocab, (count, args.prompt)).tolist()


def tokenizer_of(args: argparse.Namespace) -> Any:
    """A token is a word: w2, w3, …"""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1} | {f"w{i}": i for i in range(2, (TINY if args.tiny else SHAPE)["vocab_size"])}
    core = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


def earned(tokens: list[int]) -> float:
    """The share of even tokens."""
    return sum(t % 2 == 0 for t in tokens) / max(len(tokens), 1)


def ours(args: argparse.Namespace) -> Callable[[int], int]:
    """From a seed to the number of tokens sampled."""
    from operant.language.model.language_model import LanguageModel
    from operant.language.sample.engine import Engine, Prompt, Sampling

    static_everywhere()
    engine = Engine(LanguageModel(model_of(args), None), seed=args.seed, slots=args.prompts * args.group)
    prompts = [Prompt(id=i, tokens=tuple(p)) for i, p in enumerate(prompts_of(args, args.prompts))]
    sampling = Sampling(max_tokens=args.tokens)

    def run(seed: int) -> int:
        engine.seed = seed
        return sum(len(c.tokens) for c in engine.generate(prompts, sampling, samples=args.group))

    return run


def generate(args: argparse.Namespace) -> Callable[[int], int]:
    """The same by `generate`, in as large batches as fit."""
    import torch

    model = model_of(args)
    given = torch.tensor(prompts_of(args, args.prompts), device=args.device).repeat_interleave(args.group, 0)
    size = len(given)

    def run(seed: int) -> int:
        nonlocal size
        torch.manual_seed(seed)
        while True:
            try:
                return sum(
                    model.generate(
                        input_ids=some, attention_mask=torch.ones_like(some), do_sample=True, top_k=0, top_p=1.0,
                        max_new_tokens=args.tokens, min_new_tokens=args.tokens, eos_token_id=None, pad_token_id=0,
                    )[:, args.prompt:].numel()
                    for some in given.split(size)
                )  # fmt: skip
            except torch.cuda.OutOfMemoryError:
                size //= 2
                torch.cuda.empty_cache()
                say(f"  generate: batches of {size}")

    return run


def batching(args: argparse.Namespace) -> Callable[[int], int]:
    """The same by continuous batching of transformers."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    model = model_of(args)
    few = ContinuousBatchingConfig(num_blocks=32, page_size=32, max_batch_tokens=64) if args.tiny else None
    given = [p for p in prompts_of(args, args.prompts) for _ in range(args.group)]
    how = GenerationConfig(
        do_sample=True, top_k=0, top_p=1.0, max_new_tokens=args.tokens, eos_token_id=-1, pad_token_id=0
    )

    def run(seed: int) -> int:
        found = model.generate_batch(
            given, generation_config=how, continuous_batching_config=few, progress_bar=False
        )  # fmt: skip
        count = sum(len(x.generated_tokens) for x in found.values())
        if count != len(given) * args.tokens:
            raise RuntimeError(f"{count} tokens, not {len(given) * args.tokens}")
        return count

    return run


def grpo(args: argparse.Namespace) -> list[float]:
    """Seconds of our steps."""
    from operant.data.streams import Streams
    from operant.language.episodes.episodes import Prompts, Rollouts
    from operant.language.learn.grpo import grpo as loop
    from operant.language.model.language_model import LanguageModel
    from operant.language.model.master_weights import MasterAdamW
    from operant.language.sample.engine import Engine, Sampling
    from operant.language.settings.grpo import PRESETS

    static_everywhere()
    policy = LanguageModel(model_of(args), tokenizer_of(args))
    change = {"prompts": args.prompts, "samples": args.group, "lr_schedule": "constant", "tokens": args.micro}
    cfg = PRESETS["trl_1_16"].model_copy(update=change)
    collect = Rollouts(
        Engine(policy, seed=args.seed, slots=args.prompts * args.group),
        Prompts(prompts_of(args, args.prompts * (MEASURED + 2)), seed=args.seed),
        lambda found: [earned(list(c.tokens)) for c in found],
        Sampling(max_tokens=args.tokens),
        samples=args.group,
    )
    order = Streams(args.seed).numpy("minibatch")
    run = loop(cfg, collect, policy, MasterAdamW(policy.parameters(), lr=cfg.lr), order, total_steps=MEASURED + 1)
    seconds: list[float] = []
    for _ in range(MEASURED + 1):
        start = time.perf_counter()
        metrics = next(run)
        settle(args)
        seconds.append(time.perf_counter() - start)
        say(f"  step {seconds[-1]:.2f} s, of which sampling {float(metrics['time/sample']):.2f}")
    return seconds


def trl(args: argparse.Namespace) -> list[float]:
    """Seconds of TRL's steps."""
    import tempfile

    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    seconds: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            self.start = time.perf_counter()

        def on_step_end(self, *given: Any, **kwargs: Any) -> None:
            settle(args)
            seconds.append(time.perf_counter() - self.start)

    text = [" ".join(f"w{t}" for t in p) for p in prompts_of(args, args.prompts * (MEASURED + 2))]
    count = args.prompts * args.group
    rows = min(count, args.trl_rows)
    with tempfile.TemporaryDirectory() as folder:
        how = GRPOConfig(
            output_dir=folder, per_device_train_batch_size=rows, gradient_accumulation_steps=count // rows,
            num_generations=args.group, beta=0.0, max_completion_length=args.tokens, learning_rate=1e-6,
            lr_scheduler_type="constant", bf16=args.device != "cpu", use_cpu=args.device == "cpu",
            gradient_checkpointing=False, disable_dropout=True, report_to="none", save_strategy="no",
            logging_strategy="no", max_steps=MEASURED + 1, temperature=1.0, seed=args.seed, disable_tqdm=True,
            use_transformers_continuous_batching=args.trl_batching,
            generation_kwargs={"min_new_tokens": args.tokens},
        )  # fmt: skip
        trainer = GRPOTrainer(
            model=model_of(args, "float32"), args=how, processing_class=tokenizer_of(args), callbacks=[Clock()],
            reward_funcs=lambda completion_ids, **_: [earned(ids) for ids in completion_ids],
            train_dataset=Dataset.from_dict({"prompt": text}),
        )  # fmt: skip
        trainer.train()
    return seconds


def static_everywhere() -> None:
    """The decoding that serves CUDA on a CPU too, where this is only to see that the script runs."""
    from operant.language.cpu import numba_decoder as compiled
    from operant.language.sample import cuda_graph_decoder as static

    compiled.obstacle = lambda policy: "the decoding of CUDA is asked for"
    static.serves = lambda policy: True


def settle(args: argparse.Namespace) -> None:
    """Wait for the device."""
    import torch

    if args.device != "cpu":
        torch.cuda.synchronize(args.device)


def peak(args: argparse.Namespace) -> int:
    """Bytes at most: of the device, or of this process on a CPU."""
    import torch

    if args.device != "cpu":
        return torch.cuda.max_memory_allocated(args.device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def bandwidth(args: argparse.Namespace) -> float:
    """Bytes a second of a sum over a gigabyte."""
    import torch

    large = torch.ones(2**18 if args.tiny else 2**28, device=args.device)
    best = float("inf")
    for _ in range(5):
        settle(args)
        start = time.perf_counter()
        large.sum()
        settle(args)
        best = min(best, time.perf_counter() - start)
    return 4 * large.numel() / best


def floor(args: argparse.Namespace, speed: float) -> float:
    """Seconds that reading takes at least, of weights and keys, for all completions at once."""
    shape = TINY if args.tiny else SHAPE
    width, inner, depth = shape["hidden_size"], shape["intermediate_size"], shape["num_hidden_layers"]
    head = width // shape["num_attention_heads"]
    both = 2 * shape["num_key_value_heads"] * head
    weights = shape["vocab_size"] * width + depth * (width * (2 * width + both) + 3 * width * inner)
    mean = args.prompt / args.group + args.tokens / 2  # keys of a row: its share of the prompt's, and its own
    keys = args.prompts * args.group * mean * depth * both
    return args.tokens * 2 * (weights + keys) / speed


def side(args: argparse.Namespace) -> Measurement:
    """One side, in this process."""
    if args.side in STEPS:
        seconds = statistics.median((grpo if args.side == "grpo" else trl)(args)[1:])
        return {"value": 1.0 / seconds, "seconds": seconds, "peak": peak(args)}
    run = {"ours": ours, "generate": generate, "batching": batching}[args.side](args)
    run(0)
    found: list[float] = []
    for seed in range(1, MEASURED + 1):
        settle(args)
        start = time.perf_counter()
        count = run(seed)
        settle(args)
        found.append(count / (time.perf_counter() - start))
    told = {"value": statistics.median(found), "peak": peak(args)}
    if args.side == "ours":
        told["share_of_bandwidth"] = floor(args, bandwidth(args)) * told["value"] / (
            args.prompts * args.group * args.tokens
        )  # fmt: skip
    return told


def versions() -> dict[str, str]:
    """Of what is compared."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for name in ("torch", "transformers", "trl", "triton", "flash-attn", "kernels"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """All sides in turn, round after round."""
    command = [__file__, *sys.argv[1:], "--side"]
    results: dict[str, list[Measurement]] = {name: [] for name in (*SAMPLERS, *STEPS)}
    failed: dict[str, str] = {}
    for seed in range(1, args.rounds + 1):
        for name, found in results.items():
            if name in failed:
                continue
            try:
                found.append(measure([*command, name], seed))
            except SystemExit as error:
                failed[name] = str(error).strip().splitlines()[-1][:300]
            say(f"  round {seed}: {name}: {failed.get(name) or round(found[-1]['value'], 3)}")
    line: dict[str, Any] = {"failed": failed}
    for name, found in results.items():
        if found and name not in failed:
            unit = "tokens_per_second" if name in SAMPLERS else "steps_per_second"
            line[name] = {unit: round(statistics.median(m["value"] for m in found), 3)}
            line[name] |= {"rounds": [round(m["value"], 3) for m in found], "peak": max(m["peak"] for m in found)}
            if "share_of_bandwidth" in found[0]:
                share = statistics.median(m["share_of_bandwidth"] for m in found)
                line[name]["share_of_bandwidth"] = round(share, 4)
    for own, peer in (("ours", "generate"), ("ours", "batching"), ("grpo", "trl")):
        if {own, peer} <= line.keys():
            middle = [statistics.median(m["value"] for m in results[name]) for name in (own, peer)]
            line[f"ratio_{peer}"] = round(middle[0] / middle[1], 2)
            line[f"memory_{peer}"] = round(line[own]["peak"] / line[peer]["peak"], 2)
    return line


def main() -> None:
    """The comparison, or with --side one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a model of some thousand parameters, few short rows")
    parser.add_argument("--prompts", type=int)
    parser.add_argument("--group", type=int)
    parser.add_argument("--prompt", type=int, help="tokens of each")
    parser.add_argument("--tokens", type=int, help="of each completion")
    parser.add_argument("--micro", type=int, default=32_768, help="tokens of our forward and backward")
    parser.add_argument("--trl-rows", type=int, default=32, help="completions of TRL's")
    parser.add_argument("--trl-batching", action="store_true", help="TRL samples by continuous batching")
    parser.add_argument("--side", choices=[*SAMPLERS, *STEPS], help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = (2, 4, 8, 16) if args.tiny else (64, 16, 128, 512)
    for name, size in zip(("prompts", "group", "prompt", "tokens"), sizes, strict=True):
        setattr(args, name, getattr(args, name) or size)
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    if args.side is not None:
        warnings.simplefilter("ignore")
        print(json.dumps(side(args)))
        return
    import torch

    line: dict[str, Any] = {"case": "language_gpu" + "_tiny" * args.tiny, "device": args.device}
    if args.device != "cpu" and not torch.cuda.is_available():
        print(json.dumps(line | {"skipped": "there is no CUDA device here"}), flush=True)
        return
    line["device"] = args.device if args.device == "cpu" else torch.cuda.get_device_name(args.device)
    line |= {name: getattr(args, name) for name in ("prompts", "group", "prompt", "tokens", "micro", "trl_rows")}
    print(json.dumps(line | compare(args) | {"versions": versions()}), flush=True)


if __name__ == "__main__":
    main()
