"""`operant push`: upload an exported policy to a hub of models."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import warnings
from pathlib import Path
from typing import Any

from operant.cli.say import say, tell
from operant.config.errors import ConfigError, OperantError
from operant.env import EnvLike
from operant.run import exported
from operant.run.find import find
from operant.run.folder import RunFolder

REPOSITORY = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?/[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?", re.ASCII)

TOKEN = "HF_TOKEN"
"""The environment variable that holds the token; it is read nowhere else."""

REFUSED = {
    401: f"the token in {TOKEN} is not valid there. Make a new one that may write, in the settings of your account",
    403: f"the token in {TOKEN} may not write to {{repo}}. Use one that may, or another name",
    404: "there is no {repo}, or the token may not see it. Check the name",
    409: "{repo} was changed by another upload at the same time. Push again",
    412: "{repo} was changed by another upload at the same time. Push again",
}


def verb(args: argparse.Namespace) -> None:
    """Push, and print where it is."""
    tell(push(find(args.run, args.runs), args.repo, endpoint=args.endpoint, private=args.private))
    say(f"Next: open it, or push again after the next export of {args.run}.")


def push(
    path: Path, repo: str, *, endpoint: str | None = None, private: bool = False, env: EnvLike | None = None
) -> str:
    """Upload an exported policy in one commit; returns its address.

    Only what the manifest lists is sent, after it was compared with it. A run is exported first, anew.

    Args:
        path: an exported policy, or a run.
        repo: "name/repository"; made if it is not there.
        endpoint: the hub; `HF_ENDPOINT` or https://huggingface.co if None.
        private: visible to its owner only, where the repository is made now.
        env: for the export of a run that was made with a callable.

    Raises:
        ConfigError: if there is no token, a name or address is not one, a file is damaged, or the package is missing.
        OperantError: if the hub cannot be reached or refuses.
    """
    if endpoint is not None and not re.match(r"https?://[^/\s]", endpoint):
        raise ConfigError(f"--endpoint is '{endpoint}', expected the address of a hub, as https://huggingface.co.")
    if not REPOSITORY.fullmatch(repo):
        raise ConfigError(f"'{repo}' names no repository. Give it as NAME/REPOSITORY, as in ada/ppo-CartPole-v1.")
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise ConfigError(f"no token: set {TOKEN} to an access token of your account that may write.")
    hub = _hub()
    if not exported.is_exported(path):
        from operant.cli.export import export

        path = export(path, env=env)
    files = [*exported.contents(path), exported.MANIFEST]
    api = hub.HfApi(endpoint=endpoint, token=token, library_name="operant")
    additions = [hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(path / name)) for name in files]
    errors: Any = importlib.import_module("huggingface_hub.errors")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that metrics are no model
            api.create_repo(repo, private=private or None, exist_ok=True)
            api.create_commit(repo, additions, commit_message=f"Upload {RunFolder(path).info().get('id', 'a policy')}")
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        reason = REFUSED.get(status, f"it answered {status}: {_first_line(error)}").format(repo=repo)
        raise OperantError(f"{api.endpoint} refused the upload ({status}): {reason}.") from error
    except (ValueError, OSError) as error:
        raise OperantError(f"the upload to {api.endpoint} failed: {_first_line(error)}. Push again.") from error
    except Exception as error:
        if not _of_transport(error):
            raise
        raise OperantError(
            f"{api.endpoint} cannot be reached ({_first_line(error)}). Check the network, or choose another --endpoint."
        ) from error
    return f"{api.endpoint}/{repo}"


def _hub() -> Any:
    """The package that speaks to hubs, without its telemetry, and by the one protocol that every hub has (LFS).

    Raises:
        ConfigError: if it is not installed; names the command.
    """
    for name in ("TELEMETRY", "XET", "PROGRESS_BARS"):
        os.environ.setdefault(f"HF_HUB_DISABLE_{name}", "1")
    try:
        hub = importlib.import_module("huggingface_hub")
        for name in ("TELEMETRY", "XET"):  # read at import, which may have been long ago
            setattr(importlib.import_module("huggingface_hub.constants"), f"HF_HUB_DISABLE_{name}", True)
        return hub
    except ImportError as error:
        raise ConfigError('push needs huggingface_hub: run pip install "operant[hub]"') from error


def _of_transport(error: Exception) -> bool:
    """Whether an error tells of the connection, by whichever version of HTTPX the hub's package uses."""
    return any(kind.__name__ == "TransportError" for kind in type(error).__mro__)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
