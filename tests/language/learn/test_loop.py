"""LOOP and its relatives on episodes: advantages by hand, masks that matter, what counts once, exact gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("transformers")

from operant.data.streams import Streams
from operant.language.episodes.message_graph import MessageGraph
from operant.language.episodes.runner import Asked, Played, Runner, Turn
from operant.language.episodes.world import Observation, Scenario
from operant.language.episodes.world_rollouts import WorldRollouts, world_batch
from operant.language.learn.loop import loop
from operant.language.learn.oracle import examples, oracle_traces
from operant.language.learn.reward_scorer import critic_from
from operant.language.learn.setup import adamw
from operant.language.learn.turn_credit import returns, spread, turn_advantages, turn_gae
from operant.language.learn.turn_ppo import first_of_turns, turn_ppo
from operant.language.model.language_model import LanguageModel
from operant.language.sample.engine import Engine, Sampling
from operant.language.settings.worlds import LOOP_PRESETS, EpisodeConfig, LoopConfig, TurnPPOConfig
from reference.tiny_language import tiny_model, tiny_tokenizer
from reference.tiny_worlds import Counting, Sum


def played(group: int, member: int, rewards: list[float], states: list[str | None], cut: bool = False) -> Played:
    """An episode with a row of two tokens for each turn, and one of the world's between them."""
    graph, turns = MessageGraph(), list[Turn]()
    tokens = [10 + group]
    for n, (reward, state) in enumerate(zip(rewards, states, strict=True)):
        leaf = graph.prompt(tokens, n)
        said = [20 + member, 30 + n]
        leaf = graph.sampled(leaf, n, said, [-1.0, -2.0], [0.0, 0.0])
        tokens = [*graph.tokens(leaf), 5]
        turns.append(Turn(shown="", action="", result="", reward=reward, error=None, state=state, tokens=2, cut=False))
    scenario = Scenario(id=group, template="t", seed=0, instruction="")
    asked = Asked(id=10 * group + member, group=group, member=member, scenario=scenario)
    return Played(asked=asked, graph=graph, turns=turns, cause="turns" if cut else "success")


GROUPS = [
    played(0, 0, [0.0, 1.0], ["a", "b"]), played(0, 1, [0.0, 0.0, 0.0], ["a", "c", "b"]), played(0, 2, [0.5], ["a"]),
    played(1, 0, [2.0], ["a"], cut=True), played(1, 1, [0.0, 0.25], ["a", None]),
]  # fmt: skip
RET = [[1.0, 0.0, 0.5], [2.0, 0.25]]


def test_leave_one_out_by_hand():
    adv = turn_advantages(LoopConfig(), world_batch(GROUPS))
    expected = [r - np.mean([x for j, x in enumerate(g) if j != i]) for g in RET for i, r in enumerate(g)]
    owner = [0, 0, 1, 1, 1, 2, 3, 4, 4]
    assert adv.tolist() == pytest.approx([expected[e] for e in owner])


def test_grpo_and_reinforce_by_hand():
    batch = world_batch(GROUPS)
    adv = turn_advantages(LOOP_PRESETS["grpo"], batch)[batch.owner.bincount().cumsum(0) - 1]
    expected = [(r - np.mean(g)) / (np.std(g, ddof=1) + 1e-4) for g in RET for r in g]
    assert adv.tolist() == pytest.approx(expected, rel=1e-5)
    none = turn_advantages(LOOP_PRESETS["reinforce"], batch)
    assert none.tolist() == [1, 1, 0, 0, 0, 0.5, 2, 0.25, 0.25]
    masked = turn_advantages(LoopConfig(truncated="mask"), batch)
    assert masked[6:].tolist() == [0, 0, 0]  # one of two is cut, and the other has nobody to compare with


def test_returns_of_turns_and_return_batch_normalisation_by_hand():
    batch = world_batch(GROUPS)
    g = [0.9, 1.0, 0, 0, 0, 0.5, 2.0, 0.225, 0.25]
    assert returns(batch, 0.9).tolist() == pytest.approx(g)
    cfg = LOOP_PRESETS["rebn"].model_copy(update={"discount": 0.9})
    assert turn_advantages(cfg, batch).tolist() == pytest.approx(
        (np.array(g) - np.mean(g)) / (np.std(g) + 1e-4), rel=1e-5
    )


def test_anchor_states_are_compared_within_their_group_only():
    batch = world_batch(GROUPS)
    cfg = LoopConfig(baseline="group", credit="anchors", discount=0.5, anchor_weight=2.0)
    own = turn_advantages(cfg.model_copy(update={"credit": "episode"}), batch)
    g = [0.5, 1.0, 0, 0, 0, 0.5, 2.0, 0.125, 0.25]
    a0, b0, a1 = np.mean([g[0], g[2], g[5]]), np.mean([g[1], g[4]]), np.mean([g[6], g[7]])
    step = [g[0] - a0, g[1] - b0, g[2] - a0, 0, g[4] - b0, g[5] - a0, g[6] - a1, g[7] - a1, 0]
    assert turn_advantages(cfg, batch).tolist() == pytest.approx((own + 2.0 * torch.tensor(step)).tolist(), abs=1e-6)


def test_estimates_over_turns_are_those_of_a_slow_loop():
    batch, value = world_batch(GROUPS), torch.arange(9.0) / 10
    found, expected, at = turn_gae(batch, value, discount=0.9, lam=0.8), list[float](), 0
    for p in GROUPS:
        n, adv, own = len(p.turns), 0.0, list[float]()
        for k in reversed(range(n)):
            following = float(value[at + k + 1]) if k + 1 < n else 0.0
            adv = p.turns[k].reward + 0.9 * following - float(value[at + k]) + 0.9 * 0.8 * adv
            own.append(adv)
        expected += own[::-1]
        at += n
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    begins = first_of_turns(batch)
    assert int(begins.sum()) == 9
    assert sorted(batch.turn[begins].tolist()) == list(range(9))
    assert spread(batch, torch.arange(9.0) + 1)[begins].sort().values.tolist() == list(range(1, 10))


# ---------------------------------------------------------------------------------------------------- gradients
def parts(
    world: Any, *, rows: str = "auto", samples: int = 4, tokens: int = 4, seed: int = 3, template: str | None = None,
    width: int = 32, slots: int = 64,
) -> tuple[LanguageModel, WorldRollouts]:  # fmt: skip
    policy = LanguageModel(tiny_model("llama", positions=128, width=width), tiny_tokenizer(template))
    engine = Engine(policy, seed=seed, slots=slots)
    runner = Runner(world, engine, EpisodeConfig(rows=rows), Sampling(max_tokens=tokens, stop=(1,)))  # type: ignore[arg-type]
    return policy, WorldRollouts(runner, seed=1, samples=samples)


def gradient(cfg: LoopConfig, world: Any, *, apart: bool = False, **options: Any) -> tuple[Tensor, dict[str, float]]:
    """Of the first step, as SGD would take it with a rate of 1; with `apart`, each turn is a row."""
    policy, collect = parts(world, **options)
    if apart:
        played = collect._round
        collect._round = lambda n: [by_turn(p) for p in played(n)]  # type: ignore[method-assign]
    before = torch.cat([p.detach().flatten().clone() for p in policy.parameters()])
    cfg = cfg.model_copy(update={"lr": 1.0, "max_grad_norm": 1e9})
    optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
    metrics = next(loop(cfg, collect, policy, optimizer, Streams(1).numpy("minibatch"), total_steps=10))
    after = torch.cat([p.detach().flatten() for p in policy.parameters()])
    return before - after, {k: float(v) for k, v in metrics.items()}


def by_turn(p: Played) -> Played:
    """The same episode, every turn a row behind the tokens that it was fed."""
    (row,) = p.graph.rows()
    graph, tokens = MessageGraph(), row.prompt + row.tokens
    for n in range(len(p.turns)):
        own = [i for i, t in enumerate(row.turn) if t == n]
        leaf = graph.prompt(tokens[: len(row.prompt) + own[0]], n, merge=False)
        graph.sampled(leaf, n, *([x[i] for i in own] for x in (row.tokens, row.logp, row.kept)))
    return replace(p, graph=graph)


ONCE = LoopConfig(scenarios=4, samples=4, epochs=1)


def test_training_on_what_the_world_said_is_another_gradient():
    """The bug of others: tokens of tools in the loss."""
    own, metrics = gradient(ONCE, Counting())
    every, _ = gradient(ONCE.model_copy(update={"learn": "all"}), Counting())
    assert metrics["sampler/mismatch_max"] < 1e-5  # each ratio is 1 before the first step
    assert metrics["policy/clip_fraction"] == 0.0
    cosine = float(torch.nn.functional.cosine_similarity(own, every, dim=0))
    assert cosine < 0.9
    again, _ = gradient(ONCE, Counting())
    assert torch.equal(own, again)


def test_the_loss_is_that_of_a_slow_loop():
    policy, collect = parts(Counting())
    found, _ = gradient(ONCE, Counting())
    batch = collect.batch(4)
    adv = turn_advantages(ONCE, batch)
    loss = torch.zeros(())
    for e, p in enumerate(collect.learnt):
        (row,) = p.graph.rows()
        tokens = torch.tensor([row.prompt + row.tokens])
        acted = torch.tensor([[False] * (len(row.prompt) - 1) + list(row.sampled)])
        logp, _ = policy.evaluate(tokens, acted)
        own = float(adv[batch.owner == e][0])
        if abs(own) >= ONCE.drop:
            loss = loss - own * logp[acted].mean()
    loss = loss / int((adv[batch.owner.bincount().cumsum(0) - 1].abs() >= ONCE.drop).sum())
    grads = torch.autograd.grad(loss, [*policy.parameters()], allow_unused=True)
    slow = torch.cat([
        torch.zeros_like(p).flatten() if g is None else g.flatten()
        for p, g in zip(policy.parameters(), grads, strict=True)
    ])  # fmt: skip
    torch.testing.assert_close(found, slow, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("reduce", ["episode", "token"])
def test_an_episode_of_many_rows_counts_as_one_of_one_row(reduce):
    cfg = ONCE.model_copy(update={"reduce": reduce})
    one, a = gradient(cfg, Counting())
    many, b = gradient(cfg, Counting(), apart=True)
    assert a["row/episode"] == 1.0
    assert b["row/episode"] == pytest.approx(b["episode/turns"])
    assert b["row/episode"] > 2.0
    torch.testing.assert_close(one, many, atol=2e-6, rtol=1e-4)


class Choice:
    """Two turns of one token each; what is earned is a table of the two tokens' remainders by three."""

    name, system, turns, splits = "choice", "", 2, ("train",)
    table = ((0.0, 1.0, 0.3), (0.5, 0.0, 1.0), (1.0, 0.2, 0.0))

    def scenarios(self, split: str) -> list[Scenario]:
        return [Scenario(id=0, template="t", seed=0, instruction="?")]

    def open(self, scenario: Scenario) -> Any:
        return _Choosing(self.table)

    def oracle(self, scenario: Scenario) -> None:
        return None


class _Choosing:
    def __init__(self, table: Any) -> None:
        self.first: int | None = None
        self.table = table

    async def reset(self) -> Observation:
        return Observation(text="go")

    async def step(self, action: str) -> Observation:
        kind = kind_of(action)
        if self.first is None:
            self.first = kind
            return Observation(text="abc"[kind])
        return Observation(text="", reward=self.table[self.first][kind], terminated=True)

    async def close(self) -> None:
        return


def kind_of(action: str) -> int:
    return sum(action.encode()) % 3


def test_the_estimator_has_the_exact_gradient_as_its_mean():
    """Every pair of tokens is enumerated; the estimator's mean over 2,000 episodes lies within 5 deviations of it."""
    policy, collect = parts(Choice(), tokens=1, samples=2_000, slots=256)
    dialogue, parameters = collect.runner.dialogue, [*policy.parameters()]
    vocab = policy.vocab
    kinds = torch.tensor([kind_of(dialogue.text([t])) for t in range(vocab)])
    first = dialogue.prompt([{"role": "user", "content": "?\ngo"}])

    def logits(tokens: list[int]) -> Tensor:
        return policy.decoder.head(policy.decoder.norm(policy.hidden(torch.tensor([tokens]))[0, -1])).log_softmax(-1)

    p1 = logits(first).exp()
    rows = []
    for t in range(vocab):
        more = [] if t in dialogue.stop else [*dialogue.closing]
        shown = dialogue.behind([], "", "abc"[kinds[t]], strict=True)
        assert shown is not None
        rows.append([*first, t, *more, *shown])
    longest = max(map(len, rows))
    tokens = torch.tensor([[*r, *[0] * (longest + 1 - len(r))] for r in rows])
    states = policy.hidden(tokens)
    last = states[torch.arange(vocab), torch.tensor([len(r) - 1 for r in rows])]
    p2 = policy.decoder.head(policy.decoder.norm(last)).softmax(-1)  # [V, V]
    earned = torch.tensor(Choice.table)[kinds][:, kinds]
    value = (p1[:, None] * p2 * earned).sum()
    exact = torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters)])

    batch = collect.batch(1)
    adv = spread(batch, turn_advantages(LoopConfig(), batch))
    generator = torch.Generator().manual_seed(0)
    directions = torch.stack([exact / exact.norm(), torch.randn(len(exact), generator=generator) / len(exact) ** 0.5])
    score = torch.zeros(len(batch.ret), 2)
    traj = batch.rows.traj
    with torch.no_grad():
        base = [p.clone() for p in parameters]
    eps = 3e-3
    for k, d in enumerate(directions):  # directional derivatives of each episode's log-probability
        sides = []
        for sign in (1.0, -1.0):
            with torch.no_grad():
                at = 0
                for p, x in zip(parameters, base, strict=True):
                    p.copy_(x + sign * eps * d[at : at + p.numel()].view_as(p))
                    at += p.numel()
                unique, back = torch.unique(traj.obs, dim=0, return_inverse=True)
                mask = torch.zeros(len(unique), traj.acted.shape[1], dtype=torch.bool)
                mask[back] = traj.acted
                sides.append(policy.evaluate(unique, mask)[0][back])
        score[:, k] = ((sides[0] - sides[1]) / (2 * eps) * adv).sum(-1)
    with torch.no_grad():
        for p, x in zip(parameters, base, strict=True):
            p.copy_(x)
    mean, deviation = score.mean(0), score.std(0) / len(score) ** 0.5
    assert bool(((mean - directions @ exact).abs() < 5 * deviation).all()), (mean, directions @ exact, deviation)
    assert float(exact.norm()) > 6 * float(deviation[0])  # it could have failed


# ---------------------------------------------------------------------------------------------------- learning
def test_an_oracle_is_cloned_turn_by_turn_and_nothing_of_the_world_is_learnt():
    world = Sum()
    _, collect = parts(world, tokens=8)
    traces = oracle_traces(collect.runner, world.scenarios("train")[:5])
    for p, e in zip(traces, examples(traces), strict=True):
        learnt = [t for t, own in zip(e.tokens[1:], e.acted, strict=True) if own]
        said = [t for a in world.oracle(p.asked.scenario) for t in collect.runner.dialogue.answer(a)]
        assert learnt == said
    assert all(all(e.acted) for e in examples(traces, everything=True))


class Simple(Choice):
    """One pair is best, so that a random policy finds it."""

    table = ((1.0, 0.0, 0.0), (0.4, 0.0, 0.0), (0.4, 0.0, 0.0))


@pytest.mark.spread(2)
@pytest.mark.parametrize("method", [*LOOP_PRESETS, "turn-ppo"])
def test_it_learns(method):
    policy, collect = parts(Simple(), tokens=1, samples=32, seed=101)
    generator, critic = Streams(101).numpy("minibatch"), critic_from(policy).requires_grad_(True)
    if method == "turn-ppo":
        ppo = TurnPPOConfig(scenarios=1, samples=32, lr=2e-2)
        optimizer = adamw([policy, critic], ppo.lr, 0.0)
        learning = turn_ppo(ppo, collect, policy, critic, optimizer, generator, total_steps=24)
    else:
        ours = {"scenarios": 1, "samples": 32, "lr": 2e-2, "batch": None, "max_grad_norm": 1.0}
        cfg = LOOP_PRESETS[method].model_copy(update=ours)
        learning = loop(cfg, collect, policy, adamw([policy], cfg.lr, 0.0), generator, total_steps=24)
    rewards = [float(next(learning)["reward/mean"]) for _ in range(22)]
    assert np.mean(rewards[:3]) < 0.35
    assert np.mean(rewards[-3:]) > 0.9, rewards
