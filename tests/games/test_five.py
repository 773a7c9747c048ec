"""Five's parts: what heroes are paid, who plays the other side, surgery, and a loop that resumes bit for bit."""

import copy

import numpy as np
import pytest
import torch

from operant.config.errors import ConfigError
from operant.control import Agent
from operant.control.ppo import adam
from operant.control.settings.ppo import PPOConfig
from operant.control.spec import AgentSpec
from operant.games.elo import Pool
from operant.games.five import Five, FiveConfig
from operant.games.lanes import Lanes
from operant.games.surgery import grown, grown_optimizer
from operant.games.team import TeamPlay, spirited, zero_sum

SMALL = FiveConfig(
    games=6, total_steps=2_000, every=1, latest=0.5, memory=8, hidden=(16,),
    ppo=PPOConfig(horizon=20, batch=160, epochs=2, lr=3e-3),
)  # fmt: skip


def slow_rewards(reward, spirit):
    """Hero by hero: minus the mean of the others, then mixed with the mean of its own."""
    made = np.empty_like(reward)
    for n, game in enumerate(reward):
        for m in (0, 1):
            own = [r - sum(game[1 - m]) / len(game[m]) for r in game[m]]
            for k, r in enumerate(own):
                made[n, m, k] = (1 - spirit) * r + spirit * sum(own) / len(own)
    return made


@pytest.mark.parametrize("spirit", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("heroes", [1, 2, 5])
def test_rewards_are_those_of_the_slow_loop_and_sum_to_zero(spirit, heroes):
    reward = np.random.default_rng(heroes).normal(size=(7, 2, heroes))
    found = spirited(zero_sum(reward), spirit)
    assert found == pytest.approx(slow_rewards(reward, spirit))
    assert found == pytest.approx(zero_sum(spirited(reward, spirit)))  # they commute
    assert np.abs(found.sum((1, 2))).max() < 1e-12


def test_without_spirit_each_has_its_own_and_with_all_of_it_the_teams_mean():
    reward = np.random.default_rng(0).normal(size=(4, 2, 3))
    assert (spirited(reward, 0.0) == reward).all()
    assert spirited(reward, 1.0) == pytest.approx(np.broadcast_to(reward.mean(-1, keepdims=True), reward.shape))


def agent_of(seed=0, columns=29, memory="lstm"):
    spec = AgentSpec(
        obs_dim=columns, action_kind="discrete", action_sizes=(8,), hidden=(12,), memory=memory,
        memory_size=8 if memory else 0, shared=bool(memory),
    )  # fmt: skip
    return Agent(spec, torch.Generator().manual_seed(seed))


def play_of(latest, past=1, games=5, **kwargs):
    world, pool = Lanes(games), Pool[Agent](latest=latest)
    for k in range(past):
        pool.add(agent_of(k, world.obs_dim))
    return TeamPlay(world, pool, np.random.default_rng(0), **kwargs)


def chance(play, rng):
    return rng.integers(8, size=play.num)


def test_the_mechanism_is_off_where_the_spirit_is_none():
    """What a hero is paid differs with τ, and what its team is paid in all does not."""
    paid = {}
    for spirit in (0.0, 1.0):
        play, rng = play_of(1.0), np.random.default_rng(3)
        play.spirit = spirit
        play.reset(1)
        paid[spirit] = np.stack([play.step(chance(play, rng)).reward for _ in range(60)]).reshape(60, 5, 2, 2)
    assert np.abs(paid[0.0] - paid[1.0]).max() > 0.05
    assert paid[0.0].sum(-1) == pytest.approx(paid[1.0].sum(-1), abs=1e-6)
    assert np.abs(paid[0.0].sum((2, 3))).max() < 1e-6
    assert (paid[1.0][..., 0] == paid[1.0][..., 1]).all()


def test_one_game_in_five_is_against_the_past():
    play, rng = play_of(0.8, past=3, games=200), np.random.default_rng(0)
    play.reset(0)
    against = [play.rival >= 0]
    for _ in range(120):
        play.step(chance(play, rng))
        against.append(play.rival >= 0)
    assert np.mean(against) == pytest.approx(0.2, abs=0.03)
    assert set(play.rival.tolist()) == {-1, 0, 1, 2}


def test_rows_of_past_selves_are_not_the_policys_and_its_actions_there_do_nothing():
    seen = []
    for seed in (1, 2):  # other actions in the rows of the past self
        play, rng, other = play_of(0.0), np.random.default_rng(0), np.random.default_rng(seed)
        play.reset(4)
        for _ in range(61):
            action = chance(play, rng).reshape(-1, 2, 2)
            action[:, 1] = other.integers(8, size=action[:, 1].shape)
            step = play.step(action.ravel())
            acted, ended = step.acted.reshape(-1, 2, 2), (step.terminated | step.truncated).reshape(-1, 2, 2)
            assert acted[:, 0].all()
            assert not acted[:, 1].any()
            assert not step.reward.reshape(-1, 2, 2)[:, 1].any()
            assert (ended == ended[:, :1, :1]).all()
            seen.append(step.obs)
    half = len(seen) // 2
    assert (np.stack(seen[:half]) == np.stack(seen[half:])).all()


def test_a_past_self_plays_as_it_would_alone():
    """Its actions are drawn with a memory that goes on from step to step and is empty where a game begins."""
    play, rng = play_of(0.0, games=3), np.random.default_rng(0)
    play.reset(4)
    past, memory, draws = copy.deepcopy(play.pool.past[0]), torch.zeros(6, 16), np.random.default_rng(9)
    play.generator = copy.deepcopy(draws)
    for _ in range(30):
        acted = []
        step = play.world.step
        play.world.step = lambda action, step=step, acted=acted: acted.append(action) or step(action)
        rows = torch.from_numpy(play.world.observe()[:, 1].reshape(6, -1))
        with torch.no_grad():
            p, _, memory = past.step(rows, memory)
        expected = past.policy.distribution.sample(p, draws).numpy()
        ended = play.step(chance(play, rng)).truncated.any()
        play.world.step = step
        assert (acted[0][:, 1].ravel() == expected).all()
        if ended:
            break


def test_a_past_self_that_loses_is_drawn_less():
    play = play_of(0.0, past=2, games=40)
    play.reset(0)
    play.rival[:] = 0
    over = np.ones(40, bool)
    play._ended(over, np.repeat([1, -1, 0, 0], 10))
    assert play.results.tolist() == [40, 10]
    assert play.pool.quality[0] < play.pool.quality[1] == 0.0
    assert play.pool.probabilities()[0] < 0.5


@pytest.mark.parametrize("memory", ["lstm", "gru", ""])
def test_surgery_leaves_policy_and_values_as_they_were(memory):
    """Within 1e-5 for 40 steps, whatever stands in the new numbers; and the larger one learns by what is new."""
    small = agent_of(1, 13, memory)
    with torch.no_grad():
        for p in small.parameters():
            p += 0.2 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    large = grown(small, torch.Generator().manual_seed(2), obs_dim=29, memory_size=20 if memory else None, hidden=(30,))
    rng, loss = torch.Generator().manual_seed(3), torch.zeros(())
    one, two = torch.zeros(5, small.remembers), torch.zeros(5, large.remembers)
    for _ in range(40):
        x = 3 * torch.randn(5, 29, generator=rng)
        if memory:
            (p, v, one), (q, w, two) = small.step(x[:, :13], one), large.step(x, two)
        else:
            p, q = small.policy.parameters_of(x[:, :13]), large.policy.parameters_of(x)
            v, w = small.critic(x[:, :13]), large.critic(x)
        assert (p.output - q.output).abs().max() < 1e-5
        assert (v - w).abs().max() < 1e-5
        assert p.output.abs().max() > 0.1
        loss = loss + q.output.square().sum() + w.sum()
    loss.backward()
    first = next(x for name, x in large.named_parameters() if name.endswith(("weight_ih_l0", "layers.0.weight")))
    assert first.grad[:, 13:].abs().max() > 0


def test_surgery_refuses_what_it_cannot_do():
    with pytest.raises(ConfigError, match="only adds"):
        grown(agent_of(), torch.Generator(), memory_size=4)
    with pytest.raises(ConfigError, match="only adds"):
        grown(agent_of(), torch.Generator(), hidden=(12, 12))
    spec = AgentSpec(obs_dim=3, action_kind="discrete", action_sizes=(2,), obs_clip=10.0)
    with pytest.raises(ConfigError, match="not normalised"):
        grown(Agent(spec), torch.Generator(), obs_dim=4)


def test_the_moments_of_adam_go_with_the_weights():
    small = agent_of(1, 13)
    old = adam(PPOConfig(), small)
    for p in small.parameters():
        p.grad = torch.full_like(p, 0.5)
    old.step()
    large = grown(small, torch.Generator().manual_seed(2), obs_dim=29, memory_size=20)
    new = adam(PPOConfig(), large)
    grown_optimizer(small, old, large, new)
    name = "policy.net.trunk.memory.cell.weight_hh_l0"
    moment = new.state[dict(large.named_parameters())[name]]["exp_avg"].view(4, 20, 20)
    assert moment[:, :8, :8] == pytest.approx(old.state[dict(small.named_parameters())[name]]["exp_avg"].view(4, 8, 8))
    assert moment.abs().sum() == pytest.approx(float(moment[:, :8, :8].abs().sum()))


def test_spirit_and_horizon_grow():
    cfg = FiveConfig(spirit=(0.2, 1.0), discount=(0.9, 0.999))
    assert [cfg.spirit_at(x) for x in (0.0, 0.5, 1.0)] == pytest.approx([0.2, 0.6, 1.0])
    assert [cfg.discount_at(x) for x in (0.0, 0.5, 1.0)] == pytest.approx([0.9, 0.99, 0.999])
    five = Five(SMALL, 1)
    rows = [*five.run(SMALL.total_steps)]
    spirits, discounts = ([float(m[f"schedule/{name}"]) for m in rows] for name in ("spirit", "discount"))
    assert spirits[0] == 0.0
    assert spirits == sorted(spirits)
    assert spirits[-1] > 0.6
    assert discounts[0] == pytest.approx(0.97)
    assert discounts == sorted(discounts)
    assert five.updates == len(rows) == len(five.pool.past) - 1
    assert float(rows[-1]["schedule/lr"]) < SMALL.ppo.lr


def same(one, two):
    pairs = [(one.agent, two.agent), *zip(one.pool.past, two.pool.past, strict=True)]
    for a, b in pairs:
        assert all(torch.equal(x, b.stored()[name]) for name, x in a.stored().items())
    assert one.pool.quality == two.pool.quality
    assert one.play.results.tolist() == two.play.results.tolist()
    assert (one.collect.steps, one.collect.episodes, one.updates) == (
        two.collect.steps, two.collect.episodes, two.updates
    )  # fmt: skip


def test_a_run_resumes_bit_for_bit(tmp_path):
    whole = Five(SMALL, 3)
    rows = [*whole.run(900)]
    whole.save(tmp_path)
    rows += [*whole.run(1_900)]
    other = Five(SMALL, 3)
    other.load(tmp_path)
    again = [*other.run(1_900)]
    same(whole, other)
    assert float(rows[-1]["loss/policy"]) == float(again[-1]["loss/policy"])
    assert any(
        not torch.equal(x, y) for x, y in zip(whole.agent.parameters(), whole.pool.past[0].parameters(), strict=True)
    )
    assert whole.play.results[0] > 0  # games against the past were among them


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    five = Five(SMALL, 3)
    five.save(tmp_path)
    with pytest.raises(ConfigError, match="seed 3"):
        Five(SMALL, 4).load(tmp_path)
    (tmp_path / "five.json").write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read"):
        five.load(tmp_path)


def test_a_run_goes_on_in_a_larger_network():
    five = Five(SMALL.__class__(**{k: getattr(SMALL, k) for k in SMALL.__slots__} | {"columns": 13}), 5)
    [*five.run(700)]
    steps, past, small = five.collect.steps, len(five.pool.past), five.agent
    five.surgery(columns=29, memory=16, hidden=(24,))
    assert (five.collect.steps, len(five.pool.past)) == (steps, past)
    assert five.agent.spec.obs_dim == five.play.obs_dim == 29
    assert {agent.spec.memory_size for agent in five.pool.past} == {16}
    x = torch.from_numpy(five.play.world.observe().reshape(-1, 37)[:, :29].copy())
    p, _, _ = small.step(x[:, :13].contiguous(), torch.zeros(len(x), small.remembers))
    q, _, _ = five.agent.step(x, torch.zeros(len(x), five.agent.remembers))
    assert (p.output - q.output).abs().max() < 1e-5
    [*five.run(1_800)]
    assert five.collect.steps > steps
