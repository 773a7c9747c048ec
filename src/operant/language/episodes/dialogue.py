"""How an episode is written for a model: its messages under a chat template, or as plain text where it has none.

Plain text has what is shown, a line with `>` where the policy speaks, and the end token behind what it said.
"""

from __future__ import annotations

from collections.abc import Sequence

from operant.language.model.language_model import LanguageModel, ends
from operant.language.text.pictures import pictures_in
from operant.language.text.rendering import SAID, Message, rendering_of

ASKS = "\n>"
"""Behind what is shown, where there is no chat template."""


class Dialogue:
    """The tokens of messages, and of what follows an answer that was sampled.

    Args:
        policy: the model whose tokenizer it is.

    Attributes:
        chat: whether the tokenizer has a chat template.
        stop: the tokens that end an answer.
        closing: those that stand behind an answer that was cut.
    """

    def __init__(self, policy: LanguageModel) -> None:
        self.rendering = rendering_of(policy.tokenizer)
        self.chat = policy.tokenizer.chat_template is not None
        self.stop = ends(policy, chat=self.chat)
        turn = self.rendering.turn if self.chat else None
        self.end = turn.end if turn is not None and turn.end is not None else int(policy.tokenizer.eos_token_id)
        self.closing = turn.closing if turn is not None and turn.end is not None else (self.end,)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The tokens of messages up to where the policy speaks."""
        if self.chat or pictures_in(messages):
            return self.rendering.turns(messages, prompt=True)
        tokens: list[int] = []
        waiting = ""
        for message in messages:
            if message["role"] == "assistant":
                tokens += [*self.rendering.following(message["content"]), self.end]
                waiting = "\n"
                continue
            waiting += message["content"] + (ASKS if message["role"] == "user" else "\n")
            if message["role"] == "user":
                tokens += self.rendering.following(waiting) if tokens else self.rendering.text(waiting)
                waiting = ""
        return tokens

    def behind(self, messages: Sequence[Message], said: str, shown: str, *, strict: bool) -> list[int] | None:
        """The tokens behind an ended answer up to where the policy speaks again.

        Args:
            messages: those before the answer.
            said: the answer.
            shown: what the next message of the user says.
            strict: see that the template leaves all before, and the answer, as they were.

        Returns:
            None where it does not.
        """
        if not self.chat:
            return self.rendering.following(f"\n{shown}{ASKS}")
        begun, user = self.rendering.written(messages, prompt=True), {"role": "user", "content": shown}

        def written(answer: str) -> str:
            return self.rendering.written([*messages, {"role": "assistant", "content": answer}, user], prompt=True)

        whole = written(SAID)
        same = next((i for i, (a, b) in enumerate(zip(begun, whole, strict=False)) if a != b), len(begun))
        at = whole.find(SAID, same)
        if at < 0:
            return None
        suffix = whole[at + len(SAID) :]
        sampled = said.removeprefix(self.rendering.turn.opening)
        if strict and written(said) != begun + self.rendering.split(sampled) + suffix:
            return None
        tokens = self.rendering.tokens(suffix, follows=True)
        return tokens[tokens.index(self.end) + 1 :] if self.end in tokens else tokens

    def text(self, tokens: Sequence[int]) -> str:
        """What an answer says, without the token that ends it."""
        own = tokens[:-1] if tokens and tokens[-1] in self.stop else tokens
        return self.rendering.answer(own) if self.chat else self.rendering.said((), own)

    def answer(self, text: str) -> list[int]:
        """The tokens that a sampler would have written to say this; what the template opens is not the sampler's."""
        begun = self.rendering.turn.begun(text) if self.chat else text
        return [*self.rendering.following(text if begun is None else begun), *self.closing]
