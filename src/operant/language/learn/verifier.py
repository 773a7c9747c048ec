"""A process reward model at work: the probability that each step of a completion is right."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from operant.config.errors import ConfigError
from operant.language.learn.reward_model import read_scalar
from operant.language.model.language_model import Scalar
from operant.language.reward.trace import Trace
from operant.language.text.conversation import Encoded, Encoder
from operant.language.text.packing import padded, within
from operant.language.text.pairs import encode_steps


class Verifier:
    """A process reward model that judges the steps of completions: the probability that each is right.

    What stands between separators is a step. The last one is judged where the completion ended by itself; where it was
    cut, it is worth 0. A `Stepwise` of `operant.language.episodes.task_scorer`.

    Args:
        model: not trained here.
        separator: the text that closes a step, as in training.
        tokens: of one forward.
    """

    def __init__(self, model: Scalar, *, separator: str, tokens: int = 32_768) -> None:
        self.model, self.separator, self.tokens = model, separator, tokens
        backbone = model.backbone
        self._encoder = Encoder(tokenizer=backbone.tokenizer, length=backbone.max_positions, rows=backbone.vocab)

    @torch.no_grad()
    def __call__(self, traces: Sequence[Trace]) -> list[list[tuple[int, float]] | str]:
        """(Characters up to the end of a step, its probability) of each trace; or why it cannot be judged."""
        judged: list[list[tuple[int, float]] | str] = [
            f"reads no more than {self._encoder.length} tokens, and the solution is longer"
        ] * len(traces)
        read: dict[int, Encoded] = {}
        for i, trace in enumerate(traces):
            steps = trace.completion.split(self.separator)
            try:
                encoded = encode_steps(self._encoder, trace.prompt, steps, [0.0] * len(steps), separator=self.separator)
            except ConfigError:
                continue
            if len(encoded.correct) == len(steps):
                read[i] = encoded.solution
        for part in within([len(e.tokens) for e in read.values()], [1] * len(read), self.tokens):
            chosen = [[*read][k] for k in part]
            rows = padded([read[i] for i in chosen], self.model.backbone.tokenizer.pad_token_id)
            rows = rows.to(self.model.backbone.device)
            right = self.model(rows.tokens)[:, 1:].sigmoid()
            for i, p, marked in zip(chosen, right, rows.acted, strict=True):
                judged[i] = self._ends(traces[i], p[marked].tolist())
        return judged

    def _ends(self, trace: Trace, right: Sequence[float]) -> list[tuple[int, float]]:
        ends, end = list[tuple[int, float]](), 0
        for text, p in zip(trace.completion.split(self.separator), right, strict=True):
            end += len(text) + len(self.separator)
            ends.append((end, p))
        last = (len(trace.completion), 0.0 if trace.finish == "length" else ends[-1][1])
        return [*ends[:-1], last]


def read_verifier(path: str, device: str) -> Verifier:
    """A process reward model: a checkpoint of `operant train process-reward`, or the run folder.

    Raises:
        ConfigError: if there is none.
    """
    judge = read_judge(path, device, "process-reward")
    if not isinstance(judge, Verifier):
        raise ConfigError(f"{path} judges whole answers: name a run of `operant train process-reward`")
    return judge


def read_judge(path: str, device: str, kind: str = "reward-model") -> Scalar | Verifier:
    """A reward model, or a process reward model, whichever it is; `kind` is what to name where it is none.

    Raises:
        ConfigError: if there is none.
    """
    model, counters = read_scalar(path, device, kind)
    return Verifier(model, separator=str(counters["separator"])) if "separator" in counters else model
