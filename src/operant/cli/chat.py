"""`operant chat`: a conversation with a language model in the terminal."""

from __future__ import annotations

import argparse
import queue
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

from operant.cli.say import say, tell
from operant.config.errors import ConfigError, OperantError
from operant.config.streams import is_terminal
from operant.config.text import home_path
from operant.language.serve.speaker import compile_ahead, prompt_of, sampling_of, seed_of, speaker
from operant.run.interrupt import only_ctrl_c
from operant.run.log import append_log

if TYPE_CHECKING:
    from operant.language.model.language_model import LanguageModel
    from operant.language.serve.scheduler import Delta, Scheduler

MOST = 1024
"""Tokens of an answer where no flag says how many."""

HELP = """\
/reset              begin again
/system TEXT        say who the model is, and begin again; without a text, nobody
/save FILE.jsonl    add the conversation to a file that `operant train sft` reads
/exit               leave, as Ctrl-D; Ctrl-C stops an answer"""

Message = dict[str, str]


def verb(args: argparse.Namespace) -> None:
    """Talk until the other side has had enough."""
    from operant.language.serve.scheduler import Scheduler

    name, policy = speaker(args)
    with suppress(ImportError):
        import_module("readline")  # lines can be edited, and called back
    chat = Chat(args, policy)
    chat.prompt()  # tells what is missing before anything is typed
    compile_ahead(policy)
    say(f"{name}. /help says what else there is; Ctrl-D ends.")
    with Scheduler(policy, slots=1) as scheduler:
        while (line := _ask()) is not None:
            try:
                if line.startswith("/"):
                    if not chat.command(line):
                        return
                elif line.strip():
                    chat.answer(scheduler, line)
            except OperantError as error:
                say(f"error: {error}")
            except KeyboardInterrupt as stop:  # before an answer began, or after its end
                only_ctrl_c(stop)
                tell("")


class Chat:
    """What was said so far, and how to go on.

    Args:
        args: the flags.
        policy: the model.

    Attributes:
        messages: the conversation.
    """

    def __init__(self, args: argparse.Namespace, policy: LanguageModel) -> None:
        self.args, self.policy = args, policy
        self.system: str | None = args.system
        self.seed, self.turns = seed_of(args), 0
        self.messages: list[Message] = []
        self.reset()

    def reset(self) -> None:
        """Begin again."""
        self.messages = [{"role": "system", "content": self.system}] if self.system else []

    def prompt(self, text: str = "?") -> tuple[int, ...]:
        """The tokens of the conversation and what is said now, up to where the model speaks."""
        return prompt_of(self.policy, [*self.messages, {"role": "user", "content": text}])

    def answer(self, scheduler: Scheduler, text: str) -> None:
        """Say something to the model, and show what it answers as it is made; Ctrl-C ends the answer.

        Raises:
            ConfigError: if there is no room for an answer; nothing was said then.
            OperantError: if the model fails; the same.
        """
        from operant.language.serve.scheduler import Ask

        tokens = self.prompt(text)
        if len(tokens) >= self.policy.max_positions:
            raise ConfigError(
                f"the conversation has {len(tokens)} tokens, and the model {self.policy.max_positions} positions: "
                "/reset begins again"
            )
        news: queue.SimpleQueue[Delta] = queue.SimpleQueue()
        sampling = sampling_of(self.args, self.policy, len(tokens), MOST, chat=True)
        ask = Ask(tokens=tokens, sampling=sampling, seed=self.seed, id=self.turns, tell=news.put)
        said, note = "", ""
        try:
            scheduler.submit(ask)
            self.turns += 1
            for delta in _until_last(news):
                said += delta.text
                tell(delta.text, end="")
                if delta.error:
                    raise OperantError(delta.error)
                note = "cut: the limit on tokens" if delta.finish == "length" else ""
        except KeyboardInterrupt as stop:
            only_ctrl_c(stop)
            note = "stopped"
        finally:
            ask.cancel()  # nothing where it has ended
        self.messages += [{"role": "user", "content": text}, {"role": "assistant", "content": said}]
        tell("")
        if note:
            say(f"({note})")

    def command(self, line: str) -> bool:
        """Do what a line that begins with / says; False where it ends the conversation.

        Raises:
            ConfigError: for an unknown command or a file that cannot be written.
        """
        name, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if name in ("/exit", "/quit"):
            return False
        if name == "/help":
            say(HELP)
        elif name == "/reset":
            self.reset()
            say("(a new conversation)")
        elif name == "/system":
            self.system = rest or None
            self.reset()
            say("(a new conversation, with these words before it)" if rest else "(a new conversation)")
        elif name == "/save":
            self.save(rest)
        else:
            raise ConfigError(f"there is no {name}: /reset, /system, /save, /help, /exit")
        return True

    def save(self, file: str) -> None:
        """Add the conversation to a JSONL file.

        Raises:
            ConfigError: if there is no name, nothing to keep, or the file cannot be written.
        """
        if not file:
            raise ConfigError("/save needs the name of a file, as in /save talk.jsonl")
        if not any(m["role"] == "assistant" for m in self.messages):
            raise ConfigError("nothing was said yet that could be kept")
        append_log(home_path(file), {"messages": self.messages}, ascii_only=False)
        say(f"(kept in {file})")


def _until_last(news: queue.SimpleQueue[Delta]) -> Iterator[Delta]:
    while True:
        delta = news.get()
        yield delta
        if delta.finish:
            return


def _ask() -> str | None:
    """A line of the person's; None at the end. Ctrl-C throws away what was typed."""
    while True:
        try:
            return input("> " if is_terminal(sys.stdin) else "")
        except (EOFError, OSError):  # the terminal is gone
            if is_terminal(sys.stdin):
                tell("")
            return None
        except KeyboardInterrupt as stop:
            only_ctrl_c(stop)
            tell("")
        except UnicodeDecodeError:
            say("error: that is not UTF-8 text")
