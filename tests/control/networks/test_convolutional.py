"""Convolutional networks have the shapes and the sizes of their papers."""

import pytest
import torch

from operant.config.errors import ConfigError
from operant.control.networks.convolutional import CONVOLUTIONAL, LEAST, refuse_small

SIZES = {  # of 84×84×4 (MinAtar 10×10×4): parameters, by hand from the papers' layers
    "nature-cnn": (8 * 8 * 4 * 32 + 32) + (4 * 4 * 32 * 64 + 64) + (3 * 3 * 64 * 64 + 64) + (7 * 7 * 64 * 512 + 512),
    "impala-resnet": sum(
        9 * a * b + b + 4 * (9 * b * b + b) for a, b in [(4, 16), (16, 32), (32, 32)]
    ) + 11 * 11 * 32 * 256 + 256,
    "minatar-cnn": (3 * 3 * 4 * 16 + 16) + (8 * 8 * 16 * 128 + 128),
    "grid-cnn": (3 * 3 * 4 * 32 + 32) + (10 * 10 * 32 * 128 + 128),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_it_has_the_layers_of_its_paper(name):
    side = 10 if name in ("minatar-cnn", "grid-cnn") else 84
    net = CONVOLUTIONAL[name](4, side, side, torch.Generator().manual_seed(0))
    assert sum(p.numel() for p in net.parameters()) == SIZES[name]
    out = net(torch.rand(3, 4, side, side))
    assert out.shape == (3, net.features)
    assert (out >= 0).all()


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_the_least_picture_is_taken_and_a_smaller_one_refused_in_words(name):
    least = LEAST[name]
    assert CONVOLUTIONAL[name](1, least, least, torch.Generator())(torch.rand(1, 1, least, least)).isfinite().all()
    refuse_small(name, "it", least, least)
    with pytest.raises(ConfigError, match=rf"is a picture of {least - 1} by 90, and {name} needs"):
        refuse_small(name, "it", least - 1, 90)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_its_shapes_can_be_asked_for_without_memory(name):
    with torch.device("meta"):
        net = CONVOLUTIONAL[name](3, 2000, 2000, torch.Generator("cpu"))
    assert all(p.is_meta for p in net.parameters())
