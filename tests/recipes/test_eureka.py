"""The recipe of Eureka: what counts as reached, and that its mechanism changes what is proposed."""

import pytest

from operant.data.streams import Streams
from operant.design import TASKS, Feedback, GrammarProposer, Outcome
from operant.recipes import Trial, eureka


def test_the_reflection_changes_what_is_proposed():
    task = TASKS["swing-up"]
    best = Outcome(score=0.5, components={"up": [0.1 * k for k in range(10)]}, scores=[0.5] * 10, lengths=[200.0] * 10)
    feedback = Feedback(reward="up = 1 * height", outcome=best)
    on, off = (GrammarProposer(task, reflects=reflects) for reflects in (True, False))
    streams = Streams(101)
    assert on.propose(feedback, 8, streams, 1) != on.propose(None, 8, streams, 1)
    assert off.propose(feedback, 8, streams, 1) == on.propose(None, 8, streams, 1)


@pytest.mark.parametrize(("mine", "reached"), [(0.9, 4), (0.85, 4), (0.83, 0), (0.1, 0)])
def test_four_fifths_of_the_way_from_sparse_to_human_are_reached(mine, reached, tmp_path, monkeypatch):
    scores = {"sparse": 0.2, "human": 1.0, "eureka": mine}
    monkeypatch.setattr(eureka, "scored", lambda t, task, arm: scores[arm])
    found = eureka.trial(Trial(arm="eureka", seed=1, folder=tmp_path))
    assert found["reached"] == reached
    assert found["score"] == pytest.approx(mine)


def test_an_arm_reads_what_another_has_trained(tmp_path, monkeypatch):
    folders = []

    def trained(candidate, folder):
        folders.append((candidate.reward, folder))
        return Outcome(score=0.5)

    monkeypatch.setattr(eureka, "train_on", trained)
    for arm in ("sparse", "human"):
        eureka.trial(Trial(arm=arm, seed=2, folder=tmp_path / f"{arm}-s2", miniature=True))
    human = {folder for reward, folder in folders if reward == TASKS["mountain-car"].human}
    assert human == {tmp_path / "trained-s2" / "mountain-car" / "human" / "final-2000"}
