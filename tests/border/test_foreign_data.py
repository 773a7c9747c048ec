"""People's words, rounds and scenes from files of others: in another form they are refused by the folder's name"""

import json

import pytest

from operant.config.errors import ConfigError
from operant.grounded import flights, instructions, messenger, moves

ROUND = {"utterance": "x", "options": [[0.0] * 8] * 3, "optimal_index": 0, "reward_weights": [0.0] * 8}
SCENE = {"states": [[[0, 0, 0]], [[1, 0, 1]]], "notes": [{"type": "A0", "start": 0, "finish": 1, "notes": ["move it"]}]}
ASKED = {"instruction": "go to the torch", "targets": ["RedTorch"]}
READERS = {
    "flights": (flights.people, {"train.jsonl": ROUND, "eval.json": []}),
    "moves": (lambda folder: moves.people("train", folder), {"trainset.json": [SCENE]}),
    "messenger": (lambda folder: messenger.people("train", folder), {
        "games.json": {"train_multi_comb": [["a", "a", "a"]]},
        "text_train.json": {"a": {role: {"immovable": ["x"]} for role in messenger.ROLES}},
    }),
    "vizdoom": (instructions.vizdoom, {
        "instructions_train.json": [ASKED], "instructions_test.json": [ASKED], "object_sizes.txt": "1 RedTorch 3.0"}),
}  # fmt: skip
BROKEN = [
    ("flights", "train.jsonl", ROUND | {"optimal_index": 3}),
    ("flights", "train.jsonl", ROUND | {"optimal_index": 1e999}),
    ("flights", "train.jsonl", ROUND | {"reward_weights": [float("nan")] * 8}), ("flights", "eval.json", 3),
    ("flights", "eval.json", [{"rounds": [3], "reward_function": []}]),
    ("moves", "trainset.json", []), ("moves", "trainset.json", {"a": 1}),
    ("moves", "trainset.json", [SCENE | {"notes": [SCENE["notes"][0] | {"notes": [3]}]}]),
    ("moves", "trainset.json", [SCENE | {"notes": [SCENE["notes"][0] | {"finish": 9}]}]),
    ("messenger", "games.json", {"train_multi_comb": [["a", "a"]]}),
    ("messenger", "games.json", {"train_multi_comb": 3}),
    ("messenger", "text_train.json", [1]), ("messenger", "text_train.json", {"a": 3}),
    ("vizdoom", "instructions_train.json", [ASKED | {"targets": ["RedTank"]}]),
    ("vizdoom", "instructions_train.json", [ASKED | {"instruction": 3}]),
    ("vizdoom", "object_sizes.txt", "1 RedTorch x"),
    ("vizdoom", "object_sizes.txt", "\udcff"), ("vizdoom", "instructions_test.json", 3),
]  # fmt: skip


def written(folder, files):
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, "utf-8", "surrogateescape")
    return str(folder)


@pytest.mark.parametrize("entry", READERS)
def test_what_is_whole_is_read(entry, tmp_path):
    read, files = READERS[entry]
    assert read(written(tmp_path, files))


@pytest.mark.parametrize(("entry", "file", "content"), BROKEN)
def test_another_form_is_refused_by_the_folders_name(entry, file, content, tmp_path):
    read, files = READERS[entry]
    with pytest.raises(ConfigError) as found:
        read(written(tmp_path, files | {file: content}))
    assert str(tmp_path) in str(found.value)


@pytest.mark.parametrize("entry", READERS)
@pytest.mark.parametrize("data", [b"", b"\0" * 9, "[]".encode("utf-16"), b"[" * 999, None])
def test_what_is_no_file_of_ours_is_refused(entry, data, tmp_path):
    read, files = READERS[entry]
    written(tmp_path, files)
    for name in files:
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir() if data is None else (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError):
        read(str(tmp_path))
