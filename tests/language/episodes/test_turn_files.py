"""Episodes of many turns on disk."""

import pytest

from operant.config.errors import OperantError
from operant.language.episodes.turn_files import NAME, TurnRow, read_turns, write_turns


def row(episode, turn, role, text, **rest):
    head = {"scenario": 3, "sample": 0, "split": "test", "template": "told", "mode": "greedy"}
    return TurnRow(episode=episode, turn=turn, role=role, text=text, **head | rest)


ROWS = [
    row(7, 0, "user", "Open it.", tokens=(1, 2, 3), written="<u>Open it.", ends=(3, 8, 11), sampled=(False,) * 3,
        logp=(0.0,) * 3),
    row(7, 1, "assistant", "open é", tokens=(4, 5), written="open é", ends=(4, 6), sampled=(True, True),
        logp=(-0.5, -0.25), advantage=(0.5, -0.5)),
    row(7, 2, "user", "Locked.", reward=-0.5, error="LOCKED it is locked", ended="turns"),
    row(8, 0, "user", "Open it."),
]  # fmt: skip


def test_rows_come_back_as_they_were_written(tmp_path):
    path = tmp_path / "rollouts" / "turns-eval-step-00000012.parquet"
    write_turns(path, 12, [ROWS[2], ROWS[3], ROWS[0], ROWS[1]])
    first, second = read_turns(path)
    assert first == ROWS[:3]
    assert second == ROWS[3:]
    assert first[0].pieces() == ["<u>", "Open ", "it."]
    assert first[1].pieces() == ["open", " é"]
    assert first[1].logp == (-0.5, -0.25)
    assert (NAME.fullmatch(path.name)[1], NAME.fullmatch(path.name)[2]) == ("eval-", "00000012")


def test_a_file_of_other_columns_is_told(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "turns-step-00000001.parquet"
    pq.write_table(pa.table({"episode": [1]}), path)
    with pytest.raises(OperantError, match=r"turns-step-00000001.parquet cannot be read"):
        read_turns(path)
    path.write_bytes(b"none")
    with pytest.raises(OperantError, match="move it away"):
        read_turns(path)
