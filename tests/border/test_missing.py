"""A path where a file belongs and none is: what is there instead is said, and the nearest name that is another's"""

import pytest

from operant.cli.main import main

COMMANDS = {
    "settings": (".toml", lambda path: ["train", "ppo", "CartPole-v1", f"@{path}", "--dry-run"]),
    "a space": (".toml", lambda path: ["sweep", "ppo", "CartPole-v1", f"@{path}"]),
    "a map": (".txt", lambda path: ["solve", path]),
    "a model": (".npz", lambda path: ["solve", path]),
}


@pytest.mark.parametrize("entry", COMMANDS)
@pytest.mark.parametrize("what", ["folder", "link", "circle", "near", "above"])
def test_what_stands_there_is_told(entry, what, tmp_path, capsys):
    suffix, command = COMMANDS[entry]
    path = tmp_path / f"maze{suffix}"
    if what == "folder":
        path.mkdir()
    elif what == "near":
        (tmp_path / f"mazes{suffix}").touch()
    elif what == "above":
        (tmp_path / "file").touch()
        path = tmp_path / "file" / f"maze{suffix}"
    else:
        path.symlink_to("nowhere" if what == "link" else path.name)
    assert main(command(str(path))) == 2
    told = capsys.readouterr().err
    assert ("Did you mean" in told) == (what == "near")
    assert f"mazes{suffix}" in told or f"mean 'maze{suffix}'" not in told
