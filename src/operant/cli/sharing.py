"""Words and flags of the verbs that hand a policy on: export, push, reproduce. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from operant.cli.flags import add_checkpoint, add_env, add_json, add_run, add_trust


def add_sharing(verbs: Any) -> None:
    """Add the three verbs to the commands of the parser."""
    usage = "operant export RUN [--out DIR] [--checkpoint NAME]"
    export = verbs.add_parser("export", help="write a policy as a folder to share, with ONNX", usage=usage)
    export.description = "Write a policy as a folder to share: ONNX, settings, return, video, card."
    add_run(export)
    export.add_argument("--out", type=Path, metavar="DIR", help="the folder to write [export in the run folder]")
    add_checkpoint(export)
    add_env(export)
    add_trust(export)

    usage = "operant push RUN NAME/REPOSITORY [--endpoint URL] [--private]"
    push = verbs.add_parser("push", help="upload an exported policy to a hub of models", usage=usage)
    push.description = "Upload an exported policy, or a run. The token is read from HF_TOKEN."
    add_run(push)
    push.add_argument("repo", metavar="NAME/REPOSITORY", help="where to; made if it is not there")
    push.add_argument("--endpoint", metavar="URL", help="the hub [HF_ENDPOINT, or https://huggingface.co]")
    push.add_argument("--private", action="store_true", help="visible to you only, where it is made now")

    usage = "operant reproduce RUN [--runs DIR] [--json]"
    reproduce = verbs.add_parser("reproduce", help="make a run again and compare", usage=usage)
    reproduce.description = "Make a run again from its settings and seed, and compare the results."
    add_run(reproduce)
    add_env(reproduce)
    add_trust(reproduce)
    add_json(reproduce)
