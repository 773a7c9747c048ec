"""What reads a text, and how it meets what is seen: held to slow loops, and to what an instruction decides."""

from __future__ import annotations

import json

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import operant
from operant.config.errors import ConfigError
from operant.config.resolve import resolve
from operant.control.agent import Agent
from operant.control.networks.layout import Layout
from operant.control.networks.text import CrossAttention, Film, Gated, Read, Reader, Reading, attention
from operant.control.setup import on_policy
from operant.env import make_one
from operant.env.interface import Interface
from operant.env.text import Words

TOLD = "operant.env.probe:told"
GRID = spaces.Box(0, 1, (5, 5, 3), np.uint8)
SPACE = spaces.Dict({"said": Words(("go", "to", "red", "ball"), 5), "also": spaces.Text(3, charset="ab"), "seen": GRID})
FAST = {
    "env.num": 32, "algo.horizon": 16, "algo.lr": 3e-3, "algo.epochs": 4, "algo.batch": 128, "policy.text_size": 16,
    "eval.episodes": 64, "save.videos": False, "save.report": False, "algo.entropy_coef": 0.01, "policy.shared": True,
}  # fmt: skip


def reader(by, size=8):
    between = Interface(SPACE, spaces.Discrete(2))
    layout = Layout(between.observations, between.observations.dim, sees=True)
    assert layout.vector_size == 0
    assert len(layout.pictures) == 1
    return between.observations, Reader(layout.scripts, Reading(by, size), torch.Generator().manual_seed(0))


def rows(seen, *said):
    state = {"seen": np.zeros((5, 5, 3), np.uint8)}
    return torch.from_numpy(seen.rows([state | {"said": a, "also": b} for a, b in said], len(said)))


@pytest.mark.parametrize("by", ["gru", "transformer"])
def test_what_is_read_depends_on_every_word_and_on_nothing_behind_them(by):
    seen, reads = reader(by)
    said = [("go to red ball", "ab"), ("go to ball red", "ab"), ("", "b"), ("go", "a"), ("go", "a"), ("go to blue", "")]
    whole, words, there = reads(rows(seen, *said))
    assert whole.shape == (6, 16)
    assert words.shape == (6, 8, 8)
    assert whole.isfinite().all()
    assert there.sum(1).tolist() == [6, 6, 1, 2, 2, 3]
    assert not torch.allclose(whole[0, 8:], whole[1, 8:])
    torch.testing.assert_close(whole[3], whole[4], rtol=0, atol=0)
    for k in range(6):  # one by one, nothing stands beside it
        torch.testing.assert_close(reads(rows(seen, said[k])).whole[0], whole[k], rtol=1e-5, atol=1e-6)


def test_a_gru_reads_as_torch_does_word_by_word():
    seen, reads = reader("gru")
    cell, table = reads.layers[1].cell, reads.tables[1]
    hidden = torch.zeros(1, 1, 8)
    for word in (2, 3, 1, 5):  # go to … ball, an unknown word between
        _, hidden = cell(table(torch.tensor([[word]])), hidden)
    whole = reads(rows(seen, ("go to nowhere ball", "")))[0]
    torch.testing.assert_close(whole[0, 8:], hidden[0, 0], rtol=1e-5, atol=1e-6)


def slow_gated(maps, whole, weight, bias):
    out = np.zeros_like(maps)
    for b, c, i, j in np.ndindex(maps.shape):
        gate = 1.0 / (1.0 + np.exp(-(weight[c] @ whole[b] + bias[c])))
        out[b, c, i, j] = gate * maps[b, c, i, j]
    return out


def test_gated_attention_and_its_slope_are_those_of_the_slow_loops():
    _, reads = reader("gru")
    torch.manual_seed(0)
    join = Gated(4, reads, torch.Generator().manual_seed(1)).double()
    maps, whole = (
        torch.randn(2, 4, 3, 2, dtype=torch.double, requires_grad=True),
        torch.randn(2, 16, dtype=torch.double),
    )
    whole.requires_grad_()
    read = Read(whole, torch.zeros(2, 1, 8), torch.ones(2, 1, dtype=torch.bool))
    out = join(maps, read)
    arrays = [t.detach().numpy() for t in (maps, whole, join.told.weight, join.told.bias)]
    np.testing.assert_allclose(out.detach().numpy(), slow_gated(*arrays), rtol=1e-10)
    slope = np.random.default_rng(0).normal(size=out.shape)
    out.backward(torch.from_numpy(slope))
    for k, tensor in enumerate((maps, whole, join.told.weight, join.told.bias)):
        at = np.unravel_index(arrays[k].size // 2, arrays[k].shape)
        moved = []
        for step in (1e-6, -1e-6):
            copies = [a.copy() for a in arrays]
            copies[k][at] += step
            moved.append((slow_gated(*copies) * slope).sum())
        assert tensor.grad[at].item() == pytest.approx((moved[0] - moved[1]) / 2e-6, rel=1e-6)


def test_the_other_joins_are_those_of_slow_loops():
    _, reads = reader("gru")
    generator = torch.manual_seed(1)
    maps, whole, words = torch.randn(2, 4, 3, 2), torch.randn(2, 16), torch.randn(2, 5, 8)
    there = torch.tensor([[True, True, False, False, False], [False] * 5])
    read = Read(whole, words, there)
    film, cross = Film(4, reads, generator), CrossAttention(4, reads, generator)
    got, asked = film(maps, read), cross(maps, read)
    for b, i, j in np.ndindex(2, 3, 2):
        scale, shift = film.told(whole[b]).split(4)
        torch.testing.assert_close(got[b, :, i, j], (1 + scale) * maps[b, :, i, j] + shift)
        n = 2 if b == 0 else 1
        keys, values = cross.offers(words[b, :n]).split(8, -1)
        share = (keys @ cross.asks(maps[b, :, i, j]) / 8**0.5).softmax(0)
        torch.testing.assert_close(asked[b, :, i, j], maps[b, :, i, j] + cross.told(share @ values))


def accuracy(run, misled=False, permute=None):
    """The share of right actions, with the sentence as it is said, of another colour, or with its words permuted."""
    env, states, wanted = make_one(TOLD, {"misled": misled}), [], []
    for k in range(200):
        obs, _ = env.reset(seed=1000 + k)
        words = obs["said"].lower().split()
        states.append(obs | {"said": " ".join((permute or {}).get(word, word) for word in words)})
        wanted.append(env._wanted)
    chosen = [state["seen"][a] for state, a in zip(states, run.policy.act(states), strict=True)]
    return np.mean(np.array(chosen) == wanted)


@pytest.mark.spread(1)
def test_how_much_each_word_is_looked_at_is_what_a_slow_loop_finds():
    seen, reads = reader("gru")
    read = reads(rows(seen, ("go to red ball", "ab"), ("go", "")))
    cross = CrossAttention(4, reads, torch.Generator().manual_seed(1))
    maps = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(2))
    with attention(cross) as looked:
        assert looked() is None
        cross(maps, read)
        told = looked()
    keys, _ = cross.offers(read.words[0]).chunk(2, -1)
    there, each = np.flatnonzero(read.there[0]), np.zeros((9, 8))
    for place in range(9):
        asked = cross.asks(maps[0].flatten(1)[:, place])
        scores = np.exp([float((asked @ keys[k]).detach()) / 8**0.5 for k in there])
        each[place, there] = scores / scores.sum()
    np.testing.assert_allclose(told, each.mean(0), atol=1e-6)
    assert cross.hears is None


@pytest.mark.parametrize(("by", "join"), [("gru", "concat"), ("gru", "gated"), ("transformer", "cross-attention")])
def test_an_instruction_is_followed_and_permuted_words_fall_to_chance(by, join, tmp_path):
    its = FAST | {"policy.text": by, "policy.join": join}
    run = operant.train("ppo", TOLD, total_steps=20_000, runs=tmp_path, quiet=True, seed=1, **its)
    assert accuracy(run) > 0.8
    assert accuracy(run, misled=True) < 0.4
    turned = {"red": "green", "green": "blue", "blue": "grey", "grey": "red"}
    assert accuracy(run, permute=turned) < 0.2  # it follows what is said, to another one
    assert accuracy(run, permute=dict.fromkeys(turned, "mauve")) < 0.5  # an unknown word says nothing
    again, obs = operant.Run(run.path), make_one(TOLD).reset(seed=3)[0]
    assert again.policy.act(obs) == run.policy.act(obs)


class Room(gymnasium.Env):
    """A picture, a few numbers and two sentences; pays nothing."""

    observation_space = spaces.Dict({**SPACE.spaces, "speed": spaces.Box(-1, 1, (2,), np.float32)})
    action_space = spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.steps += 1
        return self.observation_space.sample(), float(action), False, self.steps == 8, {}


SMALL = {
    "env.num": 2, "algo.horizon": 16, "algo.epochs": 1, "eval.episodes": 2, "save.videos": False, "save.report": False,
    "policy.text_size": 8, "policy.memory_size": 8, "save.every": 64, "algo.lr_schedule": "constant",
}  # fmt: skip
CASES = {
    "film": {"policy.join": "film", "policy.network": "grid-cnn"},
    "gated, memory": {"policy.join": "gated", "policy.network": "grid-cnn", "policy.memory": "gru"},
    "cross, apart": {"policy.join": "cross-attention", "policy.network": "minatar-cnn", "policy.shared": False},
    "concat, read by a transformer": {"policy.text": "transformer", "policy.network": "minatar-cnn"},
    "gated vector": {"policy.join": "gated", "policy.normalize_obs": True, "policy.shared": True},
}


@pytest.mark.parametrize("case", CASES)
def test_it_trains_with_pictures_numbers_and_memory_and_resumes_bit_for_bit(case, tmp_path):
    def trained(steps):
        return operant.train("ppo", Room, runs=tmp_path, quiet=True, seed=3, total_steps=steps, **SMALL, **CASES[case])

    whole, part = trained(128), operant.resume(trained(64).path, env=Room, to=128, quiet=True)
    assert whole.metrics["loss/policy"].notna().all()
    for (name, a), b in zip(whole.policy.state_dict().items(), part.policy.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    first = on_policy(resolve("ppo", "x", overrides=SMALL | CASES[case] | {"seed": 3}).config, Room).agent.state_dict()
    last = whole.policy.state_dict()
    read = [name for name in last if ".reader." in name]
    assert read
    assert all(not torch.equal(first[name], last[name]) for name in read)


def test_what_cannot_be_read_is_told():
    for env, settings, words in (
        ("CartPole-v1", {"policy.join": "film"}, "policy.join is set and CartPole-v1 observes no text"),
        (TOLD, {"policy.text": "transformer", "policy.text_size": 6}, "needs a multiple of 4"),
        (TOLD, {"explore.bonus": "rnd"}, "explore.bonus rnd reads no text"),
    ):
        with pytest.raises(ConfigError, match=words):
            on_policy(resolve("ppo", env, overrides=settings).config, env)
    on_policy(resolve("ppo", TOLD, overrides={"policy.shared": True}).config, TOLD)


def test_a_file_that_says_otherwise_is_refused(tmp_path):
    agent = on_policy(resolve("ppo", TOLD).config, TOLD).agent
    agent.save(tmp_path)
    Agent.load(tmp_path)
    sound = json.loads((tmp_path / "policy.json").read_text())
    assert sound["observation_space"]["parts"][0][1]["words"][:3] == ["take", "the", "one"]
    for wrong in ({"text": "lstm"}, {"text_size": 0}, {"text_size": 10**6}, {"join": "sum"}, {"text": ""}):
        (tmp_path / "policy.json").write_text(json.dumps(sound | wrong))
        with pytest.raises(ConfigError):
            Agent.load(tmp_path)
