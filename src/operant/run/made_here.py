"""Whether a run folder was made here by this user; from any other, nothing is taken that reaches beyond the folder.

A config may name Python code, models and files, servers to ask, and variables that hold keys. Who sends a folder must
not choose what is run, loaded, asked or sent on the machine of who opens it. So a run that names any of these is marked
when it is made, with an HMAC-SHA256 of the names under a key that this user alone has; the mark goes with the folder
wherever it is moved, and fits no other names. Folders older than marks have none and are known by their age: the
system's own time of their last change (ctime), which no archive can set.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from operant.config.errors import ConfigError
from operant.config.fields import leaves
from operant.config.registry import OURS, WORLDS, is_code
from operant.config.schema import RunConfig
from operant.env import EnvLike
from operant.run.schemas import RUN, read_json
from operant.run.shipped import is_shipped

FIELD = "mark"
"""Of `run.json`."""


def reaching(config: RunConfig) -> dict[str, str]:
    """What a config names beyond the run, by dotted key; code that it is an algorithm or a network of is not here."""
    found: dict[str, str] = {}
    for path, leaf in leaves(type(config)).items():
        value: Any = config
        for name in path:
            value = getattr(value, name)
        if leaf.outward and isinstance(value, str) and value and not (path == config.target and _is_known(path, value)):
            found[leaf.key] = value
    return found


def mark(config: RunConfig) -> dict[str, str]:
    """What `run.json` says of a run that is made here, where it names anything beyond itself."""
    key = _key(make=True) if reaching(config) else None
    return {} if key is None else {FIELD: _signed(config, key)}


def is_made_here(run: Path, config: RunConfig) -> bool:
    """Whether this user made the run here, and it names what it named then."""
    if is_shipped(run):
        return True
    told = read_json(run / "run.json", RUN).get(FIELD)
    if told is None:
        return (run / "config.toml").stat().st_ctime < min(file.stat().st_ctime for file in _since())
    key = _key(make=False)
    return key is not None and isinstance(told, str) and hmac.compare_digest(told, _signed(config, key))


def consented(
    run: Path, config: RunConfig, *, env: EnvLike | None = None, trust: bool = False, whole: bool = True
) -> RunConfig:
    """The config of a run as far as what it names may be used.

    Args:
        run: its folder.
        config: its config.
        env: the environment or task that a person named in place of that of the config.
        trust: they also take the models, files, servers and keys that it names.
        whole: all that it names is to be used, and not the environment or task alone.

    Raises:
        ConfigError: if the folder was not made here, names something beyond itself, and nobody said that it may.
    """
    target = ".".join(config.target)
    if isinstance(env, str) and config.target[0] == "task":
        config = config.model_copy(update={"task": config.task.model_copy(update={"id": env})})  # pyright: ignore
        config = config.model_copy(update={"env": config.env.model_copy(update={"id": env})})
    named = {key: value for key, value in reaching(config).items() if key == target or (whole and not trust)}
    if env is not None:
        named.pop(target, None)
    if not named or is_made_here(run, config):
        return config
    key, value = next(iter(named.items()))
    flag = config.target[0]
    todo = (
        f"If you know it, name it yourself: --{flag} {value} (in Python, env={value!r})."
        if key == target
        else "If you mean it: --trust (in Python, trust=True)."
    )
    what = "runs or reads" if key == target else "loads, asks or sends"
    raise ConfigError(
        f"{run / 'config.toml'}: {key} is {value!r}, but this folder was not made here by you, and who made it does "
        f"not choose what this machine {what}. {todo}"
    )


def _is_known(path: tuple[str, ...], value: str) -> bool:
    """Whether a name is of an environment or task that comes with a package, and no code or file of somebody's own."""
    if path[0] == "task":
        ours = value.partition("/")[0] in WORLDS and not set(value) & set(":\\.")  # no name of a file
        return ours or value.startswith("reasoning-gym:") or not set(value) & set(":/\\.")
    return value.startswith(OURS) or not (is_code(value) or value.endswith(".py"))


def _signed(config: RunConfig, key: bytes) -> str:
    """The mark of a config under a key: what it names, and with which arguments."""
    plain: Mapping[str, Any] = config.model_dump(mode="json")
    arguments = [plain.get(config.target[0], {}).get(name) for name in ("kwargs", "options")]
    text = json.dumps([reaching(config), arguments], sort_keys=True)
    return hmac.digest(key, text.encode(), hashlib.sha256).hex()


def _key(*, make: bool) -> bytes | None:
    """This user's key, made at first use; where no home can be written, one that no other machine has, or none."""
    file = _key_file()
    try:
        if make and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            aside = file.with_name(f".{file.name}.{os.getpid()}")
            aside.touch(0o600)
            aside.write_bytes(secrets.token_bytes(32))
            try:
                os.link(aside, file)  # whole, and never over that of another process
            except FileExistsError:
                pass
            finally:
                aside.unlink()
        if len(key := file.read_bytes()) == 32:
            return key
    except (OSError, RuntimeError):  # RuntimeError: nobody knows where home is
        pass
    try:
        machine = Path("/etc/machine-id").read_bytes().strip()
    except OSError:
        machine = b""
    return hashlib.sha256(b"operant/%d/" % os.getuid() + machine).digest() if machine else None


def _key_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state else Path.home() / ".local" / "state") / "operant" / "key"


def _since() -> list[Path]:
    """Files that are here since marks are made."""
    with suppress(RuntimeError, OSError):
        return [file for file in (Path(__file__), _key_file()) if file.is_file()]
    return [Path(__file__)]
