import pytest

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.text.epochs import Shuffled


def test_each_pass_gives_each_item_once():
    data = Shuffled(list("abcde"), Streams(3))
    passes = [data(5) for _ in range(4)]
    assert all(sorted(p) == list("abcde") for p in passes)
    assert len({tuple(p) for p in passes}) > 1
    assert data.episodes == 4
    assert float(data.stats()["data/epoch"]) == 4.0


def test_where_it_stands_is_the_number_of_steps():
    """Resumed anywhere, it goes on with the next item, whatever the seam and the size of the batches."""
    whole = Shuffled(range(7), Streams(1))(40)
    for at in (0, 1, 6, 7, 8, 23):
        again = Shuffled(range(7), Streams(1, seam=5))
        again.steps = at
        assert [item for _ in range(4) for item in again(3)] == whole[at : at + 12]
    assert Shuffled(range(7), Streams(2))(40) != whole


def test_nothing_is_refused():
    with pytest.raises(ConfigError, match="the data set is empty"):
        Shuffled([], Streams(0))
