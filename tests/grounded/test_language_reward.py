"""Rewards that sentences name: slopes against differences of the likelihood, plans against walks that are drawn."""

import numpy as np
import torch

from operant.grounded import LanguageReward, fit, house, planned, templates
from operant.grounded.language_reward import TEMPERATURE, slopes
from operant.recipes import lc_rl

LANGUAGE = templates()


def likelihood(home, reward):
    """τ Σ_t γ^t log π(a_t | s_t) of what was done."""
    mdp = home.task.mdp
    policy, _ = planned(mdp, reward)
    return TEMPERATURE * sum(mdp.discount**t * np.log(policy[mdp.row(s, a)]) for t, (s, a) in enumerate(home.walk))


def test_the_slope_is_that_of_the_causal_likelihood():
    home = house(LANGUAGE, "train", np.random.default_rng(1), side=4, walls=3, things=2)
    reward = np.random.default_rng(2).normal(size=len(home.task.entered))
    slope = slopes([home.task], reward[None])[0]
    for k in range(0, len(reward), 3):
        step = 1e-5 * np.eye(len(reward))[k]
        up, down = (likelihood(home, reward + sign * step) for sign in (1, -1))
        assert abs((up - down) / 2e-5 + slope[k]) < 1e-4


def test_the_plan_enters_cells_as_often_as_walks_do():
    home = house(LANGUAGE, "train", np.random.default_rng(3), side=4, walls=3, things=2)
    mdp = home.task.mdp
    policy, entered = planned(mdp, np.random.default_rng(4).normal(size=len(home.task.entered)))
    rng, found, n = np.random.default_rng(5), np.zeros(len(entered)), 20_000
    chance = np.array([[policy[mdp.row(s, a)] for a in range(4)] if not mdp.rows.terminal[s] else [0.25] * 4
                       for s in range(len(entered))])  # fmt: skip
    then = np.array(
        [[home.after(s, a) if not mdp.rows.terminal[s] else s for a in range(4)] for s in range(len(entered))]
    )
    state, going = np.full(n, home.walk[0][0]), np.ones(n, bool)
    for t in range(150):
        action = (rng.random(n)[:, None] > chance[state].cumsum(1)).sum(1).clip(max=3)
        state = then[state, action]
        np.add.at(found, state[going], mdp.discount**t / n)
        going &= ~mdp.rows.terminal[state]
    np.testing.assert_allclose(found, entered, atol=1e-2 * entered.max())


def test_a_house_keeps_what_it_promises():
    rng = np.random.default_rng(0)
    for _ in range(10):
        home = house(LANGUAGE, "combinations", rng)
        state = home.walk[0][0]
        for at, action in home.walk:
            assert at == state
            state = home.after(state, action)
        assert state == home.right
        assert home.task.mdp.rows.terminal.sum() == 5
        assert home.seen(at)[-1].sum() == 1
        assert lc_rl.reaches(home, dict(home.walk).__getitem__)
        assert not lc_rl.reaches(home, lambda _: 0) or {a for _, a in home.walk} == {0}


def test_a_sentence_decides_what_is_planned_for_and_demonstrations_teach_it():
    rng = np.random.default_rng(7)
    homes = [house(LANGUAGE, "train", rng, side=5, walls=3, things=3) for _ in range(30)]
    reward = LanguageReward(LANGUAGE.properties.shape[1], LANGUAGE.words, 16, torch.Generator().manual_seed(0))
    off = fit(reward, [h.task for h in homes], steps=60, batch=8, lr=1e-2, generator=rng)
    assert np.mean(off[-10:]) < 0.6 * np.mean(off[:10])
    cells, codes = (torch.from_numpy(np.stack([getattr(h.task, n) for h in homes[:1]])) for n in ("cells", "codes"))
    other = torch.from_numpy(homes[1].task.codes[None])
    assert not torch.equal(reward(cells, codes), reward(cells, other))
