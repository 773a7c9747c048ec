"""`operant serve`: a language model over HTTP, on this machine."""

from __future__ import annotations

import argparse
import logging

from operant.cli.say import say
from operant.config.errors import ConfigError
from operant.language.serve.speaker import compile_ahead, speaker
from operant.run.interrupt import code_of


def verb(args: argparse.Namespace) -> int:
    """Serve until interrupted; returns 128 + the signal then, as every verb."""
    try:
        from operant.language.serve.http import Server, served
    except ImportError as error:
        raise ConfigError(f'a server needs more packages ({error}): pip install "operant[serve]"') from None
    name, policy = speaker(args)
    what = served(args.name or name, policy, args.length)
    compile_ahead(policy)
    server = Server(what, port=args.port, slots=args.slots)
    chats = getattr(policy.tokenizer, "chat_template", None) is not None
    where = "chat/completions and completions" if chats else "completions (it has no chat template)"
    say(f"{what.name} at {server.url}: {where}, up to {what.length:,} tokens. Ctrl-C ends it.")
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it tells of every client that goes
    code = 0
    try:
        server.run()
    except KeyboardInterrupt as stop:  # the way to end it
        code = code_of(stop)
    say("The server has ended.")
    return code
