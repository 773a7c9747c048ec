"""Every name that a public face offers is there."""

import importlib

import pytest

FACES = [
    "operant",
    "operant.agents",
    "operant.tabular",
    "operant.control",
    "operant.design",
    "operant.games",
    "operant.grounded",
    "operant.language",
    "operant.mdp",
    "operant.recipes",
    "operant.reward",
    "operant.robots",
    "operant.task",
    "operant.vision",
]


@pytest.mark.parametrize("face", FACES)
def test_every_name_of_a_face_is_there(face):
    module = importlib.import_module(face)
    names = [name for name in dir(module) if not name.startswith("_")]
    assert names
    for name in names:
        assert getattr(module, name) is not None, name
