"""The sampler of a token policy: prompts in, completions with their log-probabilities out. Knows nothing of rewards.

A draw depends on (seed, prompt id, sample index, position) alone, not on what else is in the batch: the uniform number
behind each token is a hash of these four. (The logits behind it are those of the batch's matrix products, whose
rounding may differ in the last bit with their size: a draw within 1e-7 of the border between two tokens may tell.)
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import torch

from operant.config.errors import ConfigError
from operant.data.ranges import whole
from operant.language.cpu import numba_decoder as compiled
from operant.language.cpu.numba_decoder import Compiled
from operant.language.model.language_model import LanguageModel
from operant.language.sample import cuda_graph_decoder as static
from operant.language.sample.decode_state import Decoding, Job, check, check_tokens, places_for
from operant.language.sample.hf_decoder import Through
from operant.language.sample.sampling import Completion, Prompt, Sampling, draw, keep, uniform
from operant.language.sample.torch_decoder import Eager
from operant.language.text.pictures import is_picture

__all__ = ["After", "Completion", "Engine", "Prompt", "Sampling", "draw", "keep", "uniform"]

After = Callable[[Completion], Sequence[int] | None]
"""What a stopped completion is followed by: tokens that are forced (a tool's output), or None where it has ended."""


class Engine:
    """Samples from a language model.

    A row that ends is filled with the next completion; a prompt's keys and values are computed once for all its
    samples. Tiny float32 models on a CPU are decoded by compiled code (its first call on a machine compiles for about
    twenty seconds, later processes read what it left on disk), others by torch; models that the slim forward does not
    read by transformers, without refilling. What a model that sees reads of a picture is computed once a prompt.

    Args:
        policy: the model; its own parameters are read, so that it samples as it is at each call.
        seed: of all draws.
        slots: sequences decoded together.

    Attributes:
        tokens, seconds: sampled so far.
        record: keep on `policy.tape` what a call computes, where that is possible, so that a gradient step under the
            same weights needs no forward pass of its own.
    """

    def __init__(self, policy: LanguageModel, *, seed: int, slots: int = 64) -> None:
        self.policy, self.seed, self.slots = policy, seed, whole("slots", slots)
        self.compiles = policy.whole is None and compiled.obstacle(policy) is None
        self.tokens, self.seconds = 0, 0.0
        self.record = False
        self._static: static.Static | None = None

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        *,
        samples: int = 1,
        after: After | None = None,
        tell: Callable[[int, int], None] | None = None,
    ) -> list[Completion]:
        """`samples` completions of each prompt, prompt by prompt.

        Args:
            prompts: N.
            sampling: how.
            samples: G, of each prompt.
            after: asked of every completion that meets a stop token.
            tell: told how many completions have ended, and of how many, whenever some have.

        Returns:
            N · G, in order.

        Raises:
            ConfigError: if a prompt is empty, has tokens the model does not know, or has no room for `max_tokens`.
        """
        began = time.perf_counter()
        check(prompts, sampling, self.policy.vocab, self.policy.max_positions, sees=self.policy.sees)
        if not hasattr(samples, "__index__") or samples < 0:
            raise ConfigError(f"samples is {samples!r}: give a whole number, 0 or more.")
        jobs = [
            Job(i * samples + k, i, prompt, prompt.sample + k, sampling, self.seed)
            for i, prompt in enumerate(prompts)
            for k in range(samples)
        ]
        with self.sampling():
            found = self._run(jobs, samples, after, tell)
        self.tokens += sum(sum(c.acted) for c in found)
        self.seconds += time.perf_counter() - began
        return found

    @contextmanager
    def sampling(self) -> Generator[None]:
        """Within it the model samples: no gradients, and no dropout of its adapters."""
        training = self.policy.training and self.policy.adapted  # nothing else follows the mode, and walking costs
        if training:
            self.policy.eval()
        try:
            with self.policy.without_gradients():
                yield
        finally:
            if training:
                self.policy.train()

    def open(self, slots: int, *, steady: bool = False) -> Decoding:
        """So many rows that come and go, decoded as those of `generate` and with the weights as they are now.

        Where compiled code decodes them and they are to be `steady`, a row's numbers are the same bit for bit whatever
        stands beside it.

        On CUDA steps are called, not replayed: a graph holds how tokens are drawn, which is each row's own affair here.
        Whoever steps them does so without gradients.
        """
        with torch.no_grad():
            return self._open(slots, places=slots + 1, ahead=0, steady=steady)

    def _run(
        self, jobs: list[Job], samples: int, after: After | None, tell: Callable[[int, int], None] | None
    ) -> list[Completion]:
        if not jobs:
            return []
        decoding = self._decoding(jobs, samples)
        rows, stop = decoding.slots, frozenset(jobs[0].sampling.stop)
        waiting, free = deque(jobs), list(range(len(rows.busy)))[::-1]
        under_way: dict[int, Job] = {}
        found: dict[int, Completion] = {}
        while waiting or under_way:
            if waiting and free and (decoding.refills or not under_way):
                count = min(len(free), len(waiting))
                filled = {free.pop(): waiting.popleft() for _ in range(count)}
                decoding.begin(list(filled), list(filled.values()))
                under_way |= filled
            decoding.advance()
            busy = rows.busy.tolist()
            ended = [slot for slot in under_way if not busy[slot]]
            if not ended:
                continue
            for slot, completion in zip(ended, rows.take(ended, [under_way[s] for s in ended], stop), strict=True):
                more = after(completion) if after is not None and completion.finish == "stop" else None
                if more:
                    told = f"what follows a completion of prompt {completion.prompt.id}"
                    if self.policy.whole is None and any(map(is_picture, more)):
                        raise ConfigError(f"{told} has a picture, which this model takes in prompts alone: begin one")
                    check_tokens(more, self.policy.vocab, told, sees=self.policy.sees)
                    rows.force(slot, more)
                    if bool(rows.busy[slot]):
                        continue
                    (completion,) = rows.take([slot], [under_way[slot]], stop)
                job = under_way.pop(slot)
                decoding.release(job)
                found[job.number] = completion
                free.append(slot)
            if tell is not None:
                tell(len(found), len(jobs))
        done = [found[job.number] for job in jobs]
        if isinstance(decoding, Compiled):
            decoding.hold(done)
        return done

    def _decoding(self, jobs: list[Job], samples: int) -> Decoding:
        count = min(self.slots, len(jobs))
        if self.policy.whole is None and not self.compiles and static.serves(self.policy):
            self._static = static.reopened(self._static, self.policy, jobs, count, samples)
            return self._static
        places = places_for(count, len({job.order for job in jobs}), samples)
        decoding = self._open(count, places=places, ahead=max(1, count // samples), record=self.record)
        decoding.expect(jobs)
        return decoding

    def _open(self, count: int, *, places: int, ahead: int, record: bool = False, steady: bool = False) -> Decoding:
        if self.policy.whole is not None:
            return Through(self.policy, count)
        if self.compiles:
            return Compiled(self.policy, count, places, ahead, record=record, steady=steady)
        return Eager(self.policy, count)
