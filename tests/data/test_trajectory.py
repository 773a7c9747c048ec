import dataclasses

import numpy as np
import pytest
import torch

from operant.data.trajectory import Batch, Trajectory, flatten, minibatches


def record(n=3, t=4, **changes):
    gen = torch.Generator().manual_seed(0)
    fields = {
        "obs": torch.randn(n, t + 1, 2, generator=gen),
        "action": torch.randint(0, 5, (n, t), generator=gen),
        "logp": torch.randn(n, t, generator=gen),
        "reward": torch.randn(n, t, generator=gen),
        "terminated": torch.zeros(n, t, dtype=torch.bool),
        "truncated": torch.zeros(n, t, dtype=torch.bool),
        "acted": torch.rand(n, t, generator=gen) < 0.6,
        "group": torch.arange(n),
    }
    return Trajectory(**(fields | changes))


@pytest.mark.parametrize(
    ("field", "bad", "kind"),
    [
        ("acted", torch.ones(3, 4), TypeError),
        ("terminated", torch.zeros(3, 4), TypeError),
        ("logp", torch.zeros(3, 5), ValueError),
        ("action", torch.zeros(4, 3), ValueError),
        ("obs", torch.zeros(3, 4, 2), ValueError),
        ("group", torch.zeros(4), ValueError),
    ],
)
def test_a_wrong_field_is_named(field, bad, kind):
    with pytest.raises(kind, match=field):
        record(**{field: bad})


def test_named_observations_are_checked_and_cut():
    traj = record(obs={"a": torch.arange(15.0).reshape(3, 5), "b": torch.zeros(3, 5, 2)})
    batch = flatten(traj, adv=traj.reward, target=traj.reward, value=traj.reward)
    assert batch.obs["a"].tolist() == traj.obs["a"][:, :-1][traj.acted].tolist()
    with pytest.raises(ValueError, match="'b'"):
        record(obs={"a": torch.zeros(3, 5), "b": torch.zeros(3, 4)})


def test_flatten_keeps_exactly_the_decisions_of_the_policy():
    traj = record()
    adv = torch.arange(12.0).reshape(3, 4)
    batch = flatten(traj, adv=adv, target=adv + 1, value=adv + 2)
    want = [(n, t) for n in range(3) for t in range(4) if traj.acted[n, t]]
    assert len(batch) == len(want) == traj.steps
    for k, (n, t) in enumerate(want):
        assert batch.adv[k] == adv[n, t]
        assert batch.target[k] == adv[n, t] + 1
        assert batch.value[k] == adv[n, t] + 2
        assert torch.equal(batch.obs[k], traj.obs[n, t])
        assert batch.action[k] == traj.action[n, t]
    assert batch.acted.all()


def test_an_epoch_visits_every_step_once_in_an_order_of_the_generator():
    n = 103
    fields = {f.name: torch.arange(n) for f in dataclasses.fields(Batch)}
    batch = Batch(**fields)
    parts = list(minibatches(batch, 25, np.random.default_rng(3)))
    assert [len(p) for p in parts] == [25, 25, 25, 25, 3]
    seen = torch.cat([p.adv for p in parts])
    assert sorted(seen.tolist()) == list(range(n))
    assert all(torch.equal(p.adv, p.action) for p in parts)
    again = torch.cat([p.adv for p in minibatches(batch, 25, np.random.default_rng(3))])
    other = torch.cat([p.adv for p in minibatches(batch, 25, np.random.default_rng(4))])
    assert torch.equal(seen, again)
    assert not torch.equal(seen, other)
