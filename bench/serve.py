"""What a served token costs, against `transformers serve` with and without its continuous batching.

One random Llama (`--size`, as in bench/sampler.py) is served by each in turn, as a process of its own; `--clients` ask
at once for `--tokens` greedy tokens after a prompt of 16 tokens, over and over for `--requests` in all, not streamed.
The texts must be the same. The processor time of the serving process (its threads and what HTTP costs it included)
per token does not depend on neighbours; tokens a second of the wall clock does.

Prints one JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2

from _interleave import quiet, say
from sampler import model_of

TRANSFORMERS = "import sys; from transformers.cli.transformers import main; sys.exit(main())"


def save(size: str, folder: Path) -> None:
    """The model, and a tokenizer of bytes and words for it; no token ends a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    model = model_of(size, heavy=False)
    words = {f"w{i}": i for i in range(model.config.vocab_size)}
    core = Tokenizer(models.WordLevel(words, unk_token="w2"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    model.generation_config.eos_token_id = None
    model.config.eos_token_id = None
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=core, pad_token="w0", clean_up_tokenization_spaces=False).save_pretrained(
        folder
    )


@contextlib.contextmanager
def serving(command: list[str], folder: Path) -> Iterator[tuple[str, int]]:
    """A server's address and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cache = folder / "hub"
    cache.mkdir(exist_ok=True)
    rest = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--port", str(port)], env=os.environ | rest, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}/v1/"
        for _ in range(600):
            with contextlib.suppress(httpx2.TransportError):
                httpx2.get(url + "models", timeout=10)
                break
            if process.poll() is not None:
                raise SystemExit((folder / "log").read_text()[-2000:])
            time.sleep(0.1)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def spent(pid: int) -> float:
    """Seconds of processor time of a process, on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(url: str, pid: int, model: str, args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of the processor per token, tokens a second, and what was said."""
    prompts = [" ".join(f"w{(7 * i + 3 * k) % 290 + 2}" for k in range(16)) for i in range(args.requests)]

    def ask(prompt: str) -> tuple[int, str]:
        body = {"model": model, "prompt": prompt, "max_tokens": args.tokens, "temperature": 0}
        answer = client.post("completions", json=body).raise_for_status().json()
        return answer["usage"]["completion_tokens"], answer["choices"][0]["text"]

    with httpx2.Client(base_url=url, timeout=600) as client, ThreadPoolExecutor(args.clients) as pool:
        list(pool.map(ask, prompts[: 2 * args.clients]))  # warm
        cpu, wall = spent(pid), time.perf_counter()
        found = list(pool.map(ask, prompts))
        cpu, wall = spent(pid) - cpu, time.perf_counter() - wall
    tokens = sum(count for count, _ in found)
    texts = [" ".join(text.split()) for _, text in found]
    return {"cpu_ms": 1e3 * cpu / tokens, "rate": tokens / wall, "tokens": tokens, "texts": texts}


def main() -> None:
    """Serve in turn, ask, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="0.8")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        save(args.size, folder)
        theirs = [sys.executable, "-c", TRANSFORMERS, "serve", str(folder), "--device", "cpu"]
        sides = {
            "operant": [sys.executable, "-m", "operant.cli.main", "serve", str(folder), "--threads", "1"],
            "transformers": theirs,
            "transformers_cb": [*theirs, "--continuous-batching"],
        }
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for number in range(args.rounds):
            for side, command in sides.items():
                with serving(command, folder) as (url, pid):
                    name = "model" if side == "operant" else str(folder)
                    found[side].append(measure(url, pid, name, args))
                last = found[side][-1]
                say(
                    f"  round {number + 1}: {side}: {last['cpu_ms']:.3f} ms of processor a token, {last['rate']:,.0f}/s"
                )
    ours = statistics.median(x["cpu_ms"] for x in found["operant"])
    line: dict[str, Any] = {"bench": "serve", "size": args.size, "clients": args.clients, "tokens": args.tokens}
    for side, rounds in found.items():
        cpu = statistics.median(x["cpu_ms"] for x in rounds)
        same = sum(a == b for a, b in zip(rounds[0]["texts"], found["operant"][0]["texts"], strict=True))
        line[side] = {"cpu_ms_per_token": cpu, "tokens_per_s": statistics.median(x["rate"] for x in rounds)}
        line[side] |= {"times": cpu / ours, "same_texts": f"{same}/{args.requests}"}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
