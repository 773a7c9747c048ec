"""Who proposes rewards: the grammar, whose mutations do what the reflection advises, or a language model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.design.commands import corrected
from operant.design.draws import Grammar, discarded, rescaled
from operant.design.outcome import Outcome, reflection, tips
from operant.design.reward import Reward, read
from operant.design.rewarded import Kind
from operant.design.sandboxed import code_in
from operant.design.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """The best candidate of the iteration before, and what became of it.

    Attributes:
        reward: its text.
        outcome: of training on it.
        words: a person's, about the policy that it made.
    """

    reward: str
    outcome: Outcome
    words: str = ""


class Proposer(Protocol):
    """Proposes rewards."""

    name: str
    kind: Kind

    def propose(self, feedback: Feedback | None, samples: int, streams: Streams, iteration: int) -> list[str]:
        """So many texts of rewards; what is drawn depends on the streams and the iteration alone."""
        ...


class GrammarProposer:
    """Draws from the grammar; each tip of the reflection is a mutation.

    Near-zero scores: the whole reward is drawn anew (every other sample; the others mutate). A component that does not
    change is re-scaled, re-written or discarded, one that dominates is scaled down. Without a tip, and now and then
    with one, any component is re-scaled or re-written, one is added, or one is discarded. A person's words that
    `operant.design.commands` understands replace the components that they name.

    Args:
        task: what it offers.
        reflects: False ignores all feedback: every sample is an independent draw from the same grammar.
        start: a reward to begin from, in place of fresh ones; the search mutates it.
    """

    kind: Kind = "expression"

    def __init__(self, task: Task, *, reflects: bool = True, start: str = "") -> None:
        self.task, self.reflects, self.start = task, reflects, start
        self.name = f"grammar of {task.name}" + ("" if reflects else ", independent") + (start and f", from {start!r}")
        self._grammar = Grammar(task)

    def propose(self, feedback: Feedback | None, samples: int, streams: Streams, iteration: int) -> list[str]:
        """As the protocol has it."""
        feedback = feedback if self.reflects else None
        draws = [streams.numpy("design/propose", iteration, k) for k in range(samples)]
        return [self._one(feedback, k, rng).text() for k, rng in enumerate(draws)]

    def _one(self, feedback: Feedback | None, k: int, rng: np.random.Generator) -> Reward:
        if feedback is None and not self.start:
            return self._grammar.fresh(rng)
        if feedback is None:
            begun = read(self.start, self.task.kinds)
            return begun if k == 0 else self._any(begun, rng)
        reward = read(feedback.reward, self.task.kinds)
        reward = _told(reward, feedback.words, self.task)
        advice = tips(feedback.outcome)
        if advice and advice[0].says == "rewrite all":
            if k % 2 == 0:
                return _told(self._grammar.fresh(rng), feedback.words, self.task)
            advice = advice[1:]
        if advice and rng.random() < 0.75:
            tip = advice[int(rng.integers(len(advice)))]
            if tip.component in reward.names():
                return self._advised(reward, tip.says, tip.component, rng)
        mutated = self._any(reward, rng)
        return self._any(mutated, rng) if rng.random() < 0.5 else mutated

    def _advised(self, reward: Reward, says: str, name: str, rng: np.random.Generator) -> Reward:
        if says == "dominates":
            return rescaled(reward, name, rng, down=True)
        which = int(rng.integers(3))
        if which == 2 and len(reward.components) > 1:
            return discarded(reward, name)
        return rescaled(reward, name, rng) if which == 0 else self._grammar.rewrite(reward, name, rng)

    def _any(self, reward: Reward, rng: np.random.Generator) -> Reward:
        name, which = str(rng.choice(reward.names())), rng.random()
        if which < 0.4:
            return rescaled(reward, name, rng)
        if which < 0.65:
            return self._grammar.rewrite(reward, name, rng)
        if which < 0.9 or len(reward.components) == 1:
            return self._grammar.add(reward, rng)
        return discarded(reward, name)


def _told(reward: Reward, words: str, task: Task) -> Reward:
    """After a person's words, where they are commands; the grammar understands no others."""
    if not words.strip():
        return reward
    try:
        return corrected(reward, words, task)
    except ConfigError:
        return reward


_SYSTEM = """You write reward functions from which a reinforcement learning agent learns a task that is told in words. \
A reward is one function, in plain Python with the module math and nothing else:
    def compute_reward({signature}):
        ...
        return total, {{"name": component, ...}}
The total is a float, and the dictionary holds each component of it by name. Answer with one block of code, \
```python ... ```. A component, or the total, may be brought into a fixed range by a function such as math.exp; give \
each such function a temperature of its own, a named variable inside compute_reward and none of its inputs. Read no \
input but those that are listed."""
_USER = """This is the code of the environment:
{code}
compute_reward may read these inputs:
{inputs}
The task: {words}."""

Message = dict[str, str]
Ask = Callable[[Sequence[Message], int, int], list[str]]
"""(messages, how many, seed) → so many answers."""


class LanguageProposer:
    """Any language model writes rewards as Python, which runs in the sandbox alone.

    What it is sent is always two messages, or four: what it is, the task with the environment's code, and then the best
    answer of the iteration before with its reflection.

    Args:
        task: the task.
        ask: the model; `served` or `local` make one.
        name: of the model, as results have it.
    """

    kind: Kind = "python"

    def __init__(self, task: Task, ask: Ask, name: str) -> None:
        self.task, self.name, self._ask = task, name, ask

    def messages(self, feedback: Feedback | None) -> list[Message]:
        """What the model is sent."""
        its = self.task.quantities
        inputs = "\n".join(
            f"{name}: {f'list of {each.size} floats' if each.size else 'float'}, {each.about}"
            for name, each in its.items()
        )
        told = _USER.format(code=self.task.source(), inputs=inputs, words=self.task.words)
        sent = [
            {"role": "system", "content": _SYSTEM.format(signature=", ".join(its))},
            {"role": "user", "content": told},
        ]
        if feedback is not None:
            sent += [
                {"role": "assistant", "content": f"```python\n{feedback.reward}\n```"},
                {"role": "user", "content": reflection(feedback.outcome, feedback.words)},
            ]
        return sent

    def propose(self, feedback: Feedback | None, samples: int, streams: Streams, iteration: int) -> list[str]:
        """As the protocol has it; what a model draws is as repeatable as the model."""
        answers = self._ask(self.messages(feedback), samples, streams.integer("design/ask", iteration))
        return [code_in(answer) for answer in answers]


def served(client: Any, *, max_tokens: int = 2048, temperature: float = 1.0) -> Ask:
    """A model behind an `operant.language.Client`."""

    def ask(messages: Sequence[Message], samples: int, seed: int) -> list[str]:
        how: Mapping[str, Any] = {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
        return [reply.text for reply in client.generate([messages], samples=samples, **how)]

    return ask


def local(folder: Path | str, *, max_tokens: int = 2048, temperature: float = 1.0) -> Ask:
    """A model in a folder of the hub's format, sampled here; without a chat template it goes on from plain text.

    Raises:
        ConfigError: if there is no model that can be read.
    """
    from operant.language.model.language_model import LanguageModel, ends
    from operant.language.sample.engine import Engine
    from operant.language.sample.sampling import Prompt, Sampling
    from operant.language.serve.speaker import prompt_of

    if not (Path(folder) / "config.json").is_file():
        raise ConfigError(f"{folder} is no model: give a folder that holds config.json")
    policy = LanguageModel.load(folder)
    chat = getattr(policy.tokenizer, "chat_template", None) is not None

    def ask(messages: Sequence[Message], samples: int, seed: int) -> list[str]:
        plain = "\n\n".join(message["content"] for message in messages)
        tokens = prompt_of(policy, list(messages) if chat else plain)
        room = policy.max_positions - len(tokens)
        if room < 1:
            raise ConfigError(
                f"{folder} holds {policy.max_positions} tokens, and the task has {len(tokens)}: take a larger model"
            )
        sampling = Sampling(
            temperature=temperature, max_tokens=min(max_tokens, room), stop=ends(policy, chat=chat)
        )  # fmt: skip
        found = Engine(policy, seed=seed).generate([Prompt(id=0, tokens=tokens)], sampling, samples=samples)
        return [policy.tokenizer.decode(each.tokens, skip_special_tokens=True) for each in found]

    return ask
