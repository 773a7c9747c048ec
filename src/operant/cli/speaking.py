"""Words and flags of the verbs that let a language model speak: sample, chat, serve. Imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from operant.cli import flags
from operant.cli.grammar import Override
from operant.config.fields import leaves
from operant.config.registry import settings_of

MODEL = "Hugging Face folder, a run of a language model (its folder, name, or `last`), or a name on the hub"

SAMPLE_NOTE = """\
The end of a line in --stop is written \\n. The same seed gives the same samples.

  operant sample last "12+34=" --samples 4 --temperature 0.7
  operant sample DIR "Name three rivers." --chat --max-tokens 200
  operant sample DIR - < prompt.txt --json
"""

CHAT_NOTE = """\
In a chat: /reset begins again, /system TEXT says who the model is, and
/save FILE.jsonl keeps the conversation, as operant train sft reads it.
Ctrl-C stops an answer, Ctrl-D ends.
"""

SERVE_NOTE = """\
  operant serve last --port 8000
  curl http://127.0.0.1:8000/v1/chat/completions \\
    -H 'Content-Type: application/json' \\
    -d '{"messages": [{"role": "user", "content": "Hello!"}], "stream": true}'

Only this machine can connect: there is no password. From another machine, by a
tunnel: ssh -L 8000:127.0.0.1:8000 HOST
"""


AGENT_NOTE = """\
  operant agent "make a torch" --world text/quests --model oracle
  operant agent --world text/grid --scenario 3 --model runs/RUN
  operant agent --world desk --model http://127.0.0.1:8000/v1 --agent react
  operant agent --world text/quests --model oracle --out trace.jsonl
  operant agent --replay trace.jsonl --branch 3 --model oracle

The task is that of the world whose words are most like yours. Agents: act (the
world's own words are all the model is told), react (it thinks before), and
plan-act-reflect, reflexion, tree-search, majority, which ask it more.
"""


AGENTS = ("act", "react", "plan-act-reflect", "reflexion", "tree-search", "majority")
"""Those of `operant.agents.harness.agents`, which help does not wait for."""


def add_agent(verbs: Any) -> None:
    """Add the verb that lets a model act."""
    usage = "operant agent [TASK] --world NAME --model MODEL [--agent NAME] [--json]"
    agent = verbs.add_parser("agent", help="let a model try a task of many turns", usage=usage)
    agent.description, agent.epilog = "Let any model try a task in a world of many turns, and watch it.", AGENT_NOTE
    agent.add_argument("instruction", metavar="TASK", nargs="?", default="", help="words of the task [the first]")
    agent.add_argument("--world", metavar="NAME", help="a world, as text/quests, or FILE.py:make")
    text = "a server (http://...), a folder, a run, or oracle"
    agent.add_argument("--model", metavar="MODEL", help=text)
    agent.add_argument("--agent", choices=AGENTS, default="act", metavar="NAME", help="what is made of the model [act]")
    agent.add_argument("--calls", type=flags.count, metavar="N", help="of the model, at most")
    agent.add_argument("--out", type=Path, metavar="FILE", help="write the trace: calls, messages, steps")
    agent.add_argument("--film", type=Path, metavar="FILE", help="the mp4 to write, of a world that has pictures")
    agent.add_argument("--replay", type=Path, metavar="FILE", help="do what a trace did again, and compare")
    agent.add_argument("--branch", type=flags.seed, metavar="N", help="go on from turn N of the replay, with --model")
    agent.add_argument("--split", metavar="NAME", help="of the scenarios [test]")
    agent.add_argument("--scenario", type=flags.seed, metavar="N", help="the number of the task in its split")
    agent.add_argument("--name", metavar="TEXT", help="what the server calls its model [the first it lists]")
    agent.add_argument("--key", metavar="NAME", help="environment variable with the server's key")
    agent.add_argument(
        "--temperature", type=_warmth, default=0.0, metavar="X", help="of the softmax; 0 takes the best token [0]"
    )
    agent.add_argument("--max-tokens", type=flags.count, metavar="N", help="the longest turn [1024, or what fits]")
    flags.add_seed(agent, 1, "of the draws [1]")
    leaf = leaves(settings_of("grpo"))["task", "options"]
    text = "options of the world; one of them: --task.options.NAME VALUE"
    agent.add_argument("--task.options", action=Override, leaf=leaf, dest="overrides", help=text)
    agent.set_defaults(overrides={})
    _add_place(agent)
    flags.add_json(agent)


def add_speaking(verbs: Any) -> None:
    """Add the three verbs to the commands of the parser."""
    usage = "operant sample MODEL PROMPT [--samples N] [--temperature X] [--json]"
    sample = verbs.add_parser("sample", help="let a language model go on from a text", usage=usage)
    sample.description, sample.epilog = "Print what a language model writes after a prompt.", SAMPLE_NOTE
    _add_model(sample)
    sample.add_argument("prompt", metavar="PROMPT", help="the text to go on from; - reads it from standard input")
    sample.add_argument("--samples", type=flags.count, default=1, metavar="N", help="completions of the prompt [1]")
    _add_sampling(sample, tokens=256)
    sample.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="a text that ends a completion; may be repeated"
    )
    way = sample.add_mutually_exclusive_group()
    way.add_argument("--chat", action="store_true", help="the prompt is what a user says: use the chat template")
    way.add_argument("--raw", action="store_true", help="the prompt is the text itself; so by default")
    flags.add_json(sample)

    usage = "operant chat MODEL [--system TEXT] [--temperature X]"
    chat = verbs.add_parser("chat", help="talk to a language model", usage=usage)
    chat.description, chat.epilog = "Talk to a language model in the terminal.", CHAT_NOTE
    _add_model(chat)
    chat.add_argument("--system", metavar="TEXT", help="what the model is told first")
    _add_sampling(chat, tokens=1024)

    usage = "operant serve MODEL [--port N] [--slots N] [--length N]"
    serve = verbs.add_parser("serve", help="serve a language model over HTTP, as OpenAI does", usage=usage)
    serve.description, serve.epilog = (
        "Serve a language model on this machine: /v1/chat/completions and others.",
        SERVE_NOTE,
    )
    _add_model(serve)
    serve.add_argument(
        "--port", type=_port, default=8000, metavar="N", help="where to listen; 0 takes a free one [8000]"
    )
    serve.add_argument("--host", type=_loopback, default="127.0.0.1", metavar="NAME", help=argparse.SUPPRESS)
    serve.add_argument("--name", metavar="TEXT", help="what requests call the model [the last part of MODEL]")
    serve.add_argument("--slots", type=flags.count, default=16, metavar="N", help="completions written together [16]")
    serve.add_argument(
        "--length", type=flags.count, metavar="N", help="longest prompt and answer, in tokens [the model's, or 8192]"
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help=MODEL)
    _add_place(parser)


def _add_place(parser: argparse.ArgumentParser) -> None:
    """Where a model is found, and how it is held."""
    flags.add_runs(parser, "where the run folders are [runs]")
    flags.add_checkpoint(parser)
    parser.add_argument(
        "--device", default="cpu", metavar="NAME", help="where the model lives: cpu, cuda, cuda:1 [cpu]"
    )
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16"], default="float32", metavar="NAME",
        help="type of its parameters: float32, bfloat16 [float32]",
    )  # fmt: skip
    parser.add_argument("--threads", type=flags.count, metavar="N", help="threads torch may use [all]")


def _add_sampling(parser: argparse.ArgumentParser, tokens: int) -> None:
    parser.add_argument(
        "--temperature", type=_warmth, default=1.0, metavar="X", help="of the softmax; 0 takes the best token [1]"
    )
    parser.add_argument(
        "--top-k", type=flags.seed, default=0, metavar="N", help="draw from so many tokens; 0 for all [0]"
    )
    parser.add_argument(
        "--top-p", type=_mass, default=1.0, metavar="X", help="draw from the most probable that hold this mass [1]"
    )
    parser.add_argument(
        "--min-p",
        type=flags.share,
        default=0.0,
        metavar="X",
        help="draw from those this share as probable as the best [0]",
    )
    parser.add_argument(
        "--max-tokens", type=flags.count, metavar="N", help=f"longest completion [{tokens}, or what there is room for]"
    )
    flags.add_seed(parser, None, "of the draws [a new one each time]")


def _warmth(text: str) -> float:
    return flags.number(text, "a number of at least 0", lambda value: value >= 0)


def _mass(text: str) -> float:
    return flags.number(text, "a number above 0 and at most 1", lambda value: 0 < value <= 1)


def _port(text: str) -> int:
    if (number := flags.seed(text)) > 65535:
        raise argparse.ArgumentTypeError(f"is {text!r}, expected a port, from 0 to 65535.")
    return number


def _loopback(text: str) -> str:
    if text not in ("127.0.0.1", "localhost"):
        raise argparse.ArgumentTypeError(
            f"is {text!r}, but the server has no password, so only this machine may connect (127.0.0.1). "
            "From another machine, use a tunnel: ssh -L 8000:127.0.0.1:8000 HOST"
        )
    return "127.0.0.1"
