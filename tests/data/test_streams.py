import numpy as np
import torch

from operant.data.streams import Streams


def test_streams_are_named_not_ordered():
    a = Streams(7)
    first = a.numpy("policy").random(4)
    a.numpy("minibatch").random(100)
    assert np.array_equal(first, Streams(7).numpy("policy").random(4))


def test_streams_differ_in_seed_seam_name_and_index():
    keys = {
        Streams(s, seam=m).key(name, *index)
        for s in (0, 1, 11)
        for m in (0, 1)
        for name in ("env", "policy")
        for index in ((), (0,), (1,), (1, 1), (11,))
    }
    assert len(keys) == 3 * 2 * 2 * 5


def test_torch_streams_repeat_and_seeds_fit_a_simulator():
    draw = [torch.rand(3, generator=Streams(1).torch("init")) for _ in range(2)]
    assert torch.equal(*draw)
    assert not torch.equal(draw[0], torch.rand(3, generator=Streams(2).torch("init")))
    assert all(0 <= Streams(s).integer("env") < 2**31 - 2**16 for s in range(200))
