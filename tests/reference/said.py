"""Answers as they are kept, by hand."""

from __future__ import annotations

from operant.language.episodes.rollout_files import RolloutRow


def row(
    completion: str, worth: float, *, prompt: int = 0, mode: str = "sampled", finish: str = "stop", tokens: int = 3
) -> RolloutRow:
    """One, worth as much by every reward."""
    return RolloutRow(
        prompt_id=prompt, sample=0, prompt="", completion=completion, finish=finish, mode=mode, reward=worth,
        rewards={"correct": worth, "format": worth}, advantage=None, tokens=[0] * tokens, logp=[],
    )  # fmt: skip
