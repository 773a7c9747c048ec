"""A task's judgements of completions: by the whole, by step, or both; at the tokens that were sampled."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

pytest.importorskip("transformers")

from operant.config.errors import ConfigError
from operant.language.episodes.episodes import OutcomeAndSteps, episodes
from operant.language.episodes.task_scorer import TaskScorer
from operant.language.reward.steps import ExactSteps
from operant.language.reward.trace import Trace
from operant.language.sample.sampling import Completion, Prompt
from operant.task import Example, Task, reward
from reference.tiny_language import tiny_tokenizer

EXAMPLE = Example(prompt="say", gold="the=end", solution="the=end", metadata={"steps": ["the", "end"]})


@reward(pure=True, best=1.0)
def right(trace: Trace) -> float:
    return float(trace.completion == trace.gold)


@reward(pure=True)
def broken(trace: Trace) -> list[tuple[int, float]]:
    if trace.completion.startswith("x"):
        raise RuntimeError("no x, please")
    return [(1, float("nan") if "n" in trace.completion else 1.0)]


def task(step_reward: Any) -> Task:
    return Task(name="mine", train=[EXAMPLE], test=[EXAMPLE], rewards={"right": right}, step_reward=step_reward)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer()


def completion(tokenizer: Any, pieces: list[str], sample: int = 0, finish: Any = "stop") -> Completion:
    """A completion of these texts, each tokenised by itself, with the end token."""
    tokens = [t for piece in pieces for t in tokenizer(piece, add_special_tokens=False)["input_ids"]]
    tokens += [tokenizer.eos_token_id] if finish == "stop" else []
    n = len(tokens)
    return Completion(
        prompt=Prompt(id=0, tokens=(9, 9)), sample=sample, tokens=tuple(tokens), logp=(-1.0,) * n, kept=(0.0,) * n,
        acted=(True,) * n, finish=finish,
    )  # fmt: skip


def judged(tokenizer: Any, supervision: Any, step_reward: Any = None, **more: Any) -> TaskScorer:
    made = task(step_reward or ExactSteps())
    return TaskScorer(made, tokenizer, lambda i: EXAMPLE, supervision=supervision, **more)


def test_what_was_sampled_is_what_is_trained_and_its_text_is_not_read_again(tokenizer: Any) -> None:
    """Letters that a tokenizer would have joined stay apart, and steps are found among them."""
    apart = completion(tokenizer, ["t", "h", "e", "=", "e", "n", "d"])
    joined = completion(tokenizer, ["the=end"])
    assert tokenizer.decode(apart.tokens) == tokenizer.decode(joined.tokens)
    assert len(apart.tokens) > len(joined.tokens)  # so encoding the text again would give other tokens
    scores = judged(tokenizer, "process")([apart, joined])
    made = episodes([apart, joined], scores)
    for row, c in enumerate((apart, joined)):
        assert made.traj.action[row][made.traj.acted[row]].tolist() == list(c.tokens)
        assert made.traj.reward[row].sum() == 1.0
    assert scores[0] == [(2, 0.5), (7, 0.5)]  # the last step has the end token


def test_each_kind_of_supervision_gives_what_it_says(tokenizer: Any) -> None:
    done = [completion(tokenizer, ["the=end"]), completion(tokenizer, ["the=and"]), completion(tokenizer, ["x"])]
    assert judged(tokenizer, "outcome")(done) == [1.0, 0.0, 0.0]
    process, both = (judged(tokenizer, how)(done) for how in ("process", "both"))
    assert [[r for _, r in s] for s in process if isinstance(s, list)] == [[0.5, 0.5], [0.5, 0.0], [0.0]]
    assert both == [OutcomeAndSteps(outcome=o, steps=s) for o, s in zip((1.0, 0.0, 0.0), process, strict=True)]


def test_steps_that_cannot_be_judged_are_missing_and_said_once(tokenizer: Any) -> None:
    done = [completion(tokenizer, [text]) for text in ("x", "n", "e")]
    judge = judged(tokenizer, "process", broken)
    with pytest.warns(UserWarning, match="the step reward raised RuntimeError: no x, please"):
        found = judge(done)
    assert found[:2] == [None, None]
    assert found[2] is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judge(done)
    assert not episodes(done, found).scored[:2].any()


def test_what_judges_steps_must_be_there_and_harmless(tokenizer: Any) -> None:
    with pytest.raises(ConfigError, match="no step reward"):
        TaskScorer(task(None), tokenizer, lambda i: EXAMPLE, supervision="process")
    with pytest.raises(ConfigError, match="pure=True"):
        judged(tokenizer, "process", lambda trace: [(1, 1.0)])
    learnt = judged(tokenizer, "process", steps=lambda traces: [[(1, 0.25)] for _ in traces])
    assert learnt([completion(tokenizer, ["the"])]) == [[(0, 0.25)]]
