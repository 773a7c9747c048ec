"""Who answers an agent: a server that speaks OpenAI's protocol, a model of this machine, or a text that is read out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from operant.agents.harness.episode import Ended
from operant.language.text.rendering import Message

if TYPE_CHECKING:
    from operant.language.model.language_model import LanguageModel
    from operant.language.serve.client import Client


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server.

    Attributes:
        client: its address and its model.
        temperature, max_tokens: of an answer.
        seed: of its draws, from which each call has its own.
    """

    client: Client
    temperature: float = 0.0
    max_tokens: int = 1024
    seed: int = 1

    async def __call__(self, messages: Sequence[Message], *, purpose: str, draw: tuple[int, int], warm: bool) -> str:
        """An answer."""
        from operant.language.serve.client import derived

        del purpose
        temperature, seed = 1.0 if warm else self.temperature, derived(self.seed, *draw)
        (reply,) = await asyncio.to_thread(
            self.client.generate, [messages], temperature=temperature, max_tokens=self.max_tokens, seed=seed
        )
        return reply.text


class Read:
    """Answers that are there before they are asked for, such as a world's own solution; then nothing."""

    def __init__(self, said: Iterable[str]) -> None:
        self._left = iter(said)

    async def __call__(self, messages: Sequence[Message], *, purpose: str, draw: tuple[int, int], warm: bool) -> str:
        """The next."""
        return next(self._left, "")


class Local:
    """A model of this machine: what waits is answered together, and a draw depends on the seed, episode and call alone.

    Args:
        policy: the model.
        seed: of the draws.
        temperature: of the softmax; 0 takes the best token.
        max_tokens: of an answer; if None, 1024 or what fits.
        slots: answers that are written at once.
    """

    def __init__(
        self, policy: LanguageModel, *, seed: int, temperature: float = 0.0, max_tokens: int | None = None,
        slots: int = 64,
    ) -> None:  # fmt: skip
        from operant.language.episodes.dialogue import Dialogue
        from operant.language.sample.engine import Engine
        from operant.language.sample.sampling import Sampling

        self.engine, self.dialogue = Engine(policy, seed=seed, slots=slots), Dialogue(policy)
        limit = max_tokens or min(1024, policy.max_positions // 4)
        self.sampling = Sampling(temperature=temperature, max_tokens=limit, stop=self.dialogue.stop)
        self._waiting: list[tuple[tuple[int, ...], tuple[int, int], bool, asyncio.Future[str]]] = []

    async def __call__(self, messages: Sequence[Message], *, purpose: str, draw: tuple[int, int], warm: bool) -> str:
        """An answer, written beside those of all who ask before anyone is answered."""
        del purpose
        tokens = tuple(self.dialogue.prompt(messages))
        if len(tokens) + self.sampling.max_tokens > self.engine.policy.max_positions:
            raise Ended("context")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._answer)
        self._waiting.append((tokens, draw, warm, answer))
        return await answer

    def _answer(self) -> None:
        """Answer all who wait."""
        from operant.language.sample.sampling import Prompt

        asked, self._waiting = self._waiting, []
        for hot in (False, True):
            part = [each for each in asked if each[2] == hot]
            prompts = [Prompt(id=e, tokens=tokens, sample=call) for tokens, (e, call), _, _ in part]
            sampling = replace(self.sampling, temperature=1.0) if hot else self.sampling
            try:
                found = self.engine.generate(prompts, sampling) if prompts else []
            except Exception as error:  # told to those who wait
                for *_, answer in part:
                    answer.set_exception(error)
                continue
            for completion, (*_, answer) in zip(found, part, strict=True):
                if not answer.done():
                    answer.set_result(self.dialogue.text(completion.tokens))
