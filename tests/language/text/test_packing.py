import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operant.language.text.conversation import Encoded
from operant.language.text.packing import best_fit, packed, padded, within


def example(start, size, seed=0):
    acted = np.random.default_rng(seed + start).random(size - 1) < 0.5
    return Encoded(tokens=tuple(range(start, start + size)), acted=tuple(acted.tolist()))


def test_padding_is_never_acted():
    rows = padded([example(10, 4), example(20, 2)], pad=20)  # the padding is a token that occurs
    assert rows.tokens.tolist() == [[10, 11, 12, 13], [20, 21, 20, 20]]
    assert rows.acted.shape == (2, 3)
    assert not rows.acted[1, 1:].any()
    assert rows.length.tolist() == [4, 2]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(2, 12), min_size=1, max_size=20), st.integers(12, 30))
def test_packed_rows_hold_each_example_once(sizes, length):
    examples = [example(100 * i, size) for i, size in enumerate(sizes)]
    rows = packed(examples, pad=-1, length=length)
    assert rows.position is not None
    assert rows.segment is not None
    assert rows.tokens.shape[1] <= length
    found = []
    for n in range(len(rows)):
        assert (rows.segment[n] == 0).equal(rows.tokens[n] == -1)
        for number in range(1, int(rows.segment[n].max()) + 1):
            at = (rows.segment[n] == number).nonzero()[:, 0]
            assert rows.position[n, at].tolist() == list(range(len(at)))
            e = Encoded(tokens=tuple(rows.tokens[n, at].tolist()), acted=tuple(rows.acted[n, at[:-1]].tolist()))
            found.append(e)
    assert sorted(found, key=lambda e: e.tokens) == examples
    between = rows.segment[:, 1:] != rows.segment[:, :-1]
    assert not rows.acted[between].any()  # nobody is asked for another example's first token
    assert int(rows.acted.sum()) == sum(sum(e.acted) for e in examples)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=40))
def test_best_fit_decreasing(sizes):
    """The textbook rule, by search."""
    bins = []
    for size in sorted(sizes, reverse=True):
        room = [(20 - sum(b), i) for i, b in enumerate(bins) if 20 - sum(b) >= size]
        if room:
            bins[min(room)[1]].append(size)
        else:
            bins.append([size])
    got = best_fit(sizes, 20)
    assert sorted(sorted(sizes[i] for i in b) for b in got) == sorted(sorted(b) for b in bins)
    assert sorted(i for b in got for i in b) == list(range(len(sizes)))


def test_too_long_for_a_row():
    with pytest.raises(ValueError, match="example 1 has 9 tokens; a row has 8"):
        best_fit([3, 9], 8)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 3)), min_size=1, max_size=30), st.integers(1, 120))
def test_parts_stay_within_the_budget(items, tokens):
    widths, rows = zip(*items, strict=True)
    parts = within(widths, rows, tokens)
    assert sorted(i for p in parts for i in p) == list(range(len(items)))
    for part in parts:
        cost = max(widths[i] for i in part) * sum(rows[i] for i in part)
        assert cost <= tokens or len(part) == 1


def test_slices_and_devices_keep_every_field():
    rows = packed([example(0, 5), example(10, 4), example(20, 6)], pad=-1, length=6)
    part = rows[1:3].to(torch.device("cpu"))
    assert len(part) == 2
    assert part.segment is not None
    assert part.segment.equal(rows.segment[1:3])
    assert part.length.equal(rows.length[1:3])
