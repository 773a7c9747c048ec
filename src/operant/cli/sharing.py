"""Words and flags of the verbs that hand a policy on: export, push, reproduce. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

Add = Callable[[argparse.ArgumentParser], None]


def add_sharing(verbs: Any, run: Add, checkpoint: Add, json: Add) -> None:
    """Add the three verbs.

    Args:
        verbs: the commands of the parser.
        run: adds the word RUN and `--runs`.
        checkpoint: adds `--checkpoint`.
        json: adds `--json`.
    """
    usage = "operant export RUN [--out DIR] [--checkpoint NAME]"
    export = verbs.add_parser("export", help="write a policy as a folder to share, with ONNX", usage=usage)
    export.description = "Write a policy as a folder to share: ONNX, settings, return, video, card."
    run(export)
    export.add_argument("--out", type=Path, metavar="DIR", help="the folder to write [export in the run folder]")
    checkpoint(export)

    usage = "operant push RUN NAME/REPOSITORY [--endpoint URL] [--private]"
    push = verbs.add_parser("push", help="upload an exported policy to a hub of models", usage=usage)
    push.description = "Upload an exported policy, or a run. The token is read from HF_TOKEN."
    run(push)
    push.add_argument("repo", metavar="NAME/REPOSITORY", help="where to; made if it is not there")
    push.add_argument("--endpoint", metavar="URL", help="the hub [HF_ENDPOINT, or https://huggingface.co]")
    push.add_argument("--private", action="store_true", help="visible to you only, where it is made now")

    usage = "operant reproduce RUN [--runs DIR] [--json]"
    reproduce = verbs.add_parser("reproduce", help="make a run again and compare", usage=usage)
    reproduce.description = "Make a run again from its settings and seed, and compare the results."
    run(reproduce)
    json(reproduce)
