"""PPO on a learnt reward: against loops, against enumeration, in parts and whole, and that it learns."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.episodes.episodes import Episodes, Prompts, Rollouts, episodes
from operant.language.learn.reward_scorer import RewardScorer, critic_from
from operant.language.learn.rlhf import rlhf, token_rewards
from operant.language.model.language_model import LanguageModel, Scalar
from operant.language.sample.engine import Completion, Engine, Prompt, Sampling
from operant.language.settings.rlhf import RLHFConfig
from operant.language.text.conversation import Encoded
from operant.language.text.epochs import Shuffled
from operant.math.advantage import gae
from operant.math.divergence import k1
from operant.math.objective import clipped_surrogate, clipped_value_loss
from operant.math.reduce import fixed
from reference import rlhf as loops

CFG = RLHFConfig(prompts=8, epochs=1, lr=0.05, beta=0.1)


def threes(completions: Sequence[Completion]) -> list[float]:
    """The share of threes."""
    return [c.tokens.count(3) / len(c.tokens) for c in completions]


def rollouts(policy: LanguageModel, score=threes, *, length: int = 6, samples: int = 1) -> Rollouts:
    return Rollouts(
        Engine(policy, seed=3),
        Prompts([(2,), (2, 4, 5), (4, 2)], seed=0),
        score,
        Sampling(max_tokens=length, stop=(1,)),
        samples=samples,
    )


def scored_critic(policy: LanguageModel, seed: int = 0) -> Scalar:
    critic = critic_from(policy)
    critic.head.weight.data.copy_(torch.randn(1, policy.width, generator=torch.Generator().manual_seed(seed)) * 0.3)
    return critic


def sgd(*models: torch.nn.Module, lr: float = 0.05) -> torch.optim.SGD:
    return torch.optim.SGD([p for m in models for p in m.parameters()], lr=lr)


def generator() -> np.random.Generator:
    return Streams(0).numpy("minibatch")


def all_completions(policy: LanguageModel, prompt: tuple[int, ...], length: int) -> list[Completion]:
    """Every completion of at most `length` tokens: those that end with 1, and those that are cut."""
    found: list[Completion] = []
    for size in range(1, length + 1):
        for tokens in itertools.product(range(policy.vocab), repeat=size):
            ended = tokens[-1] == 1
            if 1 in tokens[:-1] or not (ended or size == length):
                continue
            row = torch.tensor([[*prompt, *tokens]])
            acted = torch.arange(row.shape[1] - 1)[None] >= len(prompt) - 1
            with torch.no_grad():
                logp = policy.evaluate(row, acted)[0][acted].tolist()
            found.append(
                Completion(
                    prompt=Prompt(id=0, tokens=prompt), sample=len(found), tokens=tokens, logp=tuple(logp),
                    kept=(0.0,) * size, acted=(True,) * size, finish="stop" if ended else "length",
                )
            )  # fmt: skip
    return found


@pytest.fixture(scope="module")
def five() -> tuple[LanguageModel, LanguageModel, Episodes]:
    """A five-token policy, a reference, and all completions of a prompt with scores."""
    policy, ref = loops.token_policy(5, sharp=20.0), loops.token_policy(5, seed=1, sharp=20.0)
    found = all_completions(policy, (2, 3), 3)
    rng = np.random.default_rng(0)
    batch = episodes(found, rng.normal(size=len(found)).tolist())
    total = (batch.traj.logp * batch.traj.acted).sum(-1).exp().sum()
    assert float(total) == pytest.approx(1.0, abs=1e-5)
    return policy, ref, batch


def test_the_charge_adds_up_to_the_divergence_of_the_whole_answer(five) -> None:
    _, ref, batch = five
    traj = batch.traj
    with torch.no_grad():
        logp_ref = ref.evaluate(traj.obs, traj.acted)[0]
    charge = torch.where(traj.acted, 0.3 * k1(traj.logp, logp_ref), 0.0)
    reward, _, _ = token_rewards(CFG, batch, charge)
    whole = traj.reward.sum(-1) - 0.3 * ((traj.logp - logp_ref) * traj.acted).sum(-1)
    assert torch.allclose(reward.sum(-1), whole, atol=1e-6)
    last = traj.acted.shape[1] - 1 - traj.acted.flip(-1).int().argmax(-1)
    before_last = traj.acted.clone()
    before_last[torch.arange(batch.rows), last] = False
    assert torch.allclose(reward[before_last], -charge[before_last])  # the score is at the last decision only


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_expected_update_is_the_gradient_of_the_penalised_reward(five, temperature: float) -> None:
    """Σ_y π(y) × the update of y is the gradient of E[R] − β KL, whatever the critic says."""
    policy, ref, batch = five
    traj, beta = batch.traj, 0.3
    parameters = list(policy.parameters())

    logp = policy.evaluate(traj.obs, traj.acted, temperature=temperature)[0]
    with torch.no_grad():
        logp_ref = ref.evaluate(traj.obs, traj.acted, temperature=temperature)[0]
    answer, answer_ref = logp.sum(-1), logp_ref.sum(-1)
    probability = answer.exp()
    objective = (probability * (traj.reward.sum(-1) - beta * (answer - answer_ref))).sum()
    exact = torch.autograd.grad(objective, parameters, allow_unused=True)

    logp = policy.evaluate(traj.obs, traj.acted, temperature=temperature)[0]
    charge = torch.where(traj.acted, beta * k1(logp.detach(), logp_ref), 0.0)
    reward, terminated, truncated = token_rewards(CFG, batch, charge)
    with torch.no_grad():
        value = scored_critic(policy)(traj.obs)
    adv = gae(reward, value, terminated, truncated, traj.acted, discount=1.0, lam=1.0)
    expected = partial(fixed, length=1.0, denominator=1.0)
    loss, _ = clipped_surrogate(
        logp, logp.detach(), adv * probability.detach()[:, None], traj.acted, clip=0.2, reduce=expected
    )
    update = torch.autograd.grad(-loss, parameters, allow_unused=True)
    size = max(float(g.abs().max()) for g in exact if g is not None)
    assert size > 1e-2
    for a, b in zip(exact, update, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert torch.allclose(a, b, atol=2e-5 * size + 1e-6)


def test_a_step_is_the_loops_of_the_last_ppo_trainer_of_trl() -> None:
    """Advantages, losses and gradients (D16): whitening by the masked mean, the value clip, the score at the end."""
    policy, ref = loops.token_policy(8, sharp=10.0), loops.token_policy(8, seed=1, sharp=10.0)
    critic = scored_critic(policy)
    before = copy.deepcopy((policy, critic))
    collect = rollouts(policy)
    kept: list[Episodes] = []
    collect_and_keep = _Kept(collect, kept)
    step = next(
        rlhf(CFG, collect_and_keep, policy, critic, sgd(policy, critic), generator(), total_steps=9, reference=ref)
    )  # pyright: ignore[reportArgumentType]
    traj = kept[0].traj
    old_policy, old_critic = before
    with torch.no_grad():
        now, value, logp_ref = (
            old_policy.evaluate(traj.obs, traj.acted)[0], old_critic(traj.obs), ref.evaluate(traj.obs, traj.acted)[0]
        )  # fmt: skip
    rows = [_of(traj.acted[i], traj.logp[i]) for i in range(8)]
    assert len({len(r) for r in rows}) > 1  # of several lengths
    values = [value[i, s : s + len(rows[i]) + 1].tolist() for i, s in enumerate(traj.acted.int().argmax(-1).tolist())]
    adv, returns = loops.advantages(
        traj.reward.sum(-1).tolist(), rows, [_of(traj.acted[i], logp_ref[i]) for i in range(8)], values,
        beta=0.1, discount=1.0, lam=0.95,
    )  # fmt: skip
    own = [v[:-1] for v in values]
    policy_loss, critic_loss = loops.losses(
        [_of(traj.acted[i], now[i]) for i in range(8)], rows, loops.whitened(adv), own, own, returns,
        clip=0.2, value_clip=0.2,
    )  # fmt: skip
    assert float(step["loss/policy"]) == pytest.approx(policy_loss, abs=1e-5)
    assert float(step["loss/value"]) == pytest.approx(critic_loss, rel=1e-5)

    flat_adv = torch.zeros_like(traj.reward).masked_scatter(
        traj.acted, torch.tensor(sum(loops.whitened(adv), list[float]()))
    )
    target = torch.zeros_like(traj.reward).masked_scatter(traj.acted, torch.tensor(sum(returns, list[float]())))
    loss = clipped_surrogate(old_policy.evaluate(traj.obs, traj.acted)[0], traj.logp, flat_adv, traj.acted, clip=0.2)[0]
    moving = old_critic(traj.obs)[:, :-1]
    loss = loss + 0.1 * clipped_value_loss(moving, moving.detach(), target, traj.acted, clip=0.2)[0]
    loss.backward()
    parameters = [*old_policy.parameters(), *old_critic.parameters()]
    norm = float(torch.nn.utils.clip_grad_norm_(parameters, 1.0))
    assert float(step["grad/norm"]) == pytest.approx(norm, rel=1e-4)
    for p, q in zip(parameters, [*policy.parameters(), *critic.parameters()], strict=True):
        moved = p if p.grad is None else p - 0.05 * p.grad
        assert torch.allclose(moved, q, atol=1e-6)


def test_where_trl_differs_it_is_the_step_behind_a_short_row() -> None:
    """That trainer puts the score of a row that is shorter than the longest one step behind its end token. With that
    step marked as a decision, the estimator gives its numbers; without it, those of the papers."""
    rng = np.random.default_rng(2)
    value, logp, ref = rng.normal(size=(1, 5)), rng.normal(size=(1, 4)), rng.normal(size=(1, 4))
    terminated = torch.tensor([[False, False, False, True]])
    for after in (False, True):
        count = 3
        adv, _ = loops.advantages(
            [2.0], [logp[0, :count].tolist()], [ref[0, :count].tolist()], [value[0].tolist()],
            beta=0.1, discount=1.0, lam=0.9, after_end=after,
        )  # fmt: skip
        acted = torch.tensor([[True, True, True, after]])
        reward = torch.tensor(-0.1 * (logp - ref)) * torch.tensor([[True, True, True, False]])
        reward[0, count - 1 + after] += 2.0
        own = gae(
            reward, torch.tensor(value), terminated if after else terminated.roll(-1, -1),
            torch.zeros_like(acted), acted, discount=1.0, lam=0.9,
        )  # fmt: skip
        assert np.allclose(own[0, :count], adv[0], atol=1e-9)


def test_advantages_of_a_padded_row_are_those_of_the_row_alone(five) -> None:
    _, _, batch = five
    traj = batch.traj
    value = torch.randn(batch.rows, traj.acted.shape[1] + 1, generator=torch.Generator().manual_seed(0))
    reward, terminated, truncated = token_rewards(CFG, batch, torch.zeros_like(traj.reward))
    together = gae(reward, value, terminated, truncated, traj.acted, discount=0.9, lam=0.8)
    for i in range(0, batch.rows, 7):
        end = int(traj.acted[i].nonzero().max()) + 1
        start = int(traj.acted[i].nonzero().min())
        cut, states = (slice(i, i + 1), slice(start, end)), (slice(i, i + 1), slice(start, end + 1))
        alone = gae(reward[cut], value[states], terminated[cut], truncated[cut], traj.acted[cut], discount=0.9, lam=0.8)
        assert torch.allclose(together[cut], alone, atol=1e-6)
        assert float(together[i, end:].abs().sum()) == 0.0


def test_parts_add_up_to_the_whole() -> None:
    """The same step, in one forward and row by row, with texts to keep likely."""
    texts = [Encoded(tokens=(2, 3, 4, 5)[:n], acted=(True,) * (n - 1)) for n in (2, 3, 4)]
    moved: list[torch.Tensor] = []
    for tokens in (10_000, 1):
        policy, ref = loops.token_policy(8, sharp=10.0), loops.token_policy(8, seed=1)
        critic = scored_critic(policy)
        cfg = RLHFConfig(prompts=4, samples=2, batch=4, epochs=2, lr=0.05, tokens=tokens, ptx_coef=0.5, ptx_batch=3)
        data = Shuffled(texts, Streams(0))
        run = rlhf(
            cfg, rollouts(policy, samples=2), policy, critic, sgd(policy, critic), generator(),
            total_steps=9, reference=ref, texts=data,
        )  # fmt: skip
        step = next(run)
        assert float(step["loss/ptx"]) > 0.0
        moved.append(torch.cat([p.detach().flatten() for p in (*policy.parameters(), *critic.parameters())]))
    assert torch.allclose(*moved, atol=2e-6)
    assert float((moved[0] - torch.cat([p.flatten() for p in _start()])).abs().max()) > 1e-3


def test_cut_completions_are_scored_punished_or_followed_by_the_critic(five) -> None:
    _, _, batch = five
    nothing = torch.zeros_like(batch.traj.reward)
    cut, ended = batch.length_limited, batch.traj.terminated | batch.traj.truncated
    reward, terminated, truncated = token_rewards(RLHFConfig(eos_penalty=3.0), batch, nothing)
    given = batch.traj.reward.sum(-1)
    assert torch.allclose(reward.sum(-1), given - 3.0 * cut)
    assert torch.equal(terminated, ended)
    assert not bool(truncated.any())
    reward, terminated, truncated = token_rewards(RLHFConfig(truncated="bootstrap"), batch, nothing)
    assert torch.allclose(reward.sum(-1), torch.where(cut, 0.0, given))
    assert torch.equal(truncated.any(-1), cut)
    assert torch.equal(terminated.any(-1), ~cut)


def test_the_value_behind_a_cut_completion_is_read() -> None:
    policy = loops.token_policy(8)
    critic = scored_critic(policy)
    old, kept = copy.deepcopy(critic), list[Episodes]()
    cfg = RLHFConfig(prompts=8, epochs=1, lr=0.05, beta=0.0, truncated="bootstrap", value_clip=None)
    collect = _Kept(rollouts(policy, length=3), kept)
    step = next(rlhf(cfg, collect, policy, critic, sgd(policy, critic), generator(), total_steps=9))
    traj = kept[0].traj
    assert bool(kept[0].length_limited.any())
    with torch.no_grad():
        value = old(traj.obs)
    reward, terminated, truncated = token_rewards(cfg, kept[0], torch.zeros_like(traj.reward))
    adv = gae(reward, value, terminated, truncated, traj.acted, discount=1.0, lam=0.95)
    assert float(step["loss/value"]) == pytest.approx(float(0.5 * adv[traj.acted].square().mean()), rel=1e-5)


def test_scaled_rewards_keep_their_mean_and_have_unit_deviation(five) -> None:
    _, _, batch = five
    acted = batch.traj.acted
    plain, _, _ = token_rewards(CFG, batch, torch.zeros_like(batch.traj.reward))
    scaled, _, _ = token_rewards(RLHFConfig(scale_reward=True), batch, torch.zeros_like(batch.traj.reward))
    assert float(scaled[acted].std()) == pytest.approx(1.0, abs=1e-5)
    assert float(scaled[acted].mean()) == pytest.approx(float(plain[acted].mean()), abs=1e-6)
    assert float(scaled[~acted].abs().sum()) == 0.0


def test_a_reward_model_scores_the_last_token_whatever_stands_beside_it() -> None:
    policy = loops.token_policy(8)
    model = scored_critic(policy)
    found = Engine(policy, seed=0).generate([Prompt(id=0, tokens=(2, 3))], Sampling(max_tokens=6, stop=(1,)), samples=8)
    assert len({len(c.tokens) for c in found}) > 1
    together = RewardScorer(model, offset=0.5)(found)
    for c, r in zip(found, together, strict=True):
        with torch.no_grad():
            alone = float(model(torch.tensor([[2, 3, *c.tokens]]))[0, -1]) - 0.5
        assert r == pytest.approx(alone, abs=1e-5)
    assert RewardScorer(model, offset=0.5, tokens=1)(found) == pytest.approx(together, abs=1e-5)


def test_a_critic_is_a_copy_with_weights_of_its_own() -> None:
    policy = loops.token_policy(8)
    model = scored_critic(policy)
    tokens = torch.tensor([[2, 3, 4]])
    critic, fresh = critic_from(model), critic_from(policy)
    with torch.no_grad():
        assert torch.equal(critic(tokens), model(tokens))
        assert float(fresh(tokens).abs().sum()) == 0.0
        said = model(tokens)
        for p in critic.parameters():
            p += 1.0
        assert torch.equal(model(tokens), said)
        assert not torch.equal(critic(tokens), said)  # it reads what was moved


def test_an_adaptive_beta_is_steered_and_goes_on_from_where_it_was() -> None:
    policy, ref = loops.token_policy(8, sharp=10.0), loops.token_policy(8, seed=1, sharp=10.0)
    critic = critic_from(policy)
    cfg = RLHFConfig(prompts=8, beta=0.1, beta_schedule="adaptive", kl_target=1e-3, kl_horizon=40, epochs=1)
    run = rlhf(cfg, rollouts(policy), policy, critic, sgd(policy, critic), generator(), total_steps=9, reference=ref)
    beta = [float(next(run)["schedule/beta"]) for _ in range(3)]
    assert beta == pytest.approx([0.1, 0.1 * 1.04, 0.1 * 1.04**2])  # 0.2 · 8 / 40


def test_it_learns_and_its_critic_explains() -> None:
    policy = loops.token_policy(8)
    ref, critic = copy.deepcopy(policy), critic_from(policy)
    cfg = RLHFConfig(prompts=32, batch=32, epochs=2, lr=3e-3, beta=0.01, value_coef=0.5, value_clip=None)
    optimizer = torch.optim.Adam([*policy.parameters(), *critic.parameters()])
    run = rlhf(cfg, rollouts(policy), policy, critic, optimizer, generator(), total_steps=40, reference=ref)
    seen = [next(run) for _ in range(40)]
    reward = [float(m["reward/mean"]) for m in seen]
    assert np.mean(reward[:3]) < 0.25
    assert np.mean(reward[-3:]) > 0.8
    assert np.mean([float(m["policy/kl_reference"]) for m in seen[-3:]]) > 1.0
    assert all(float(m["sampler/mismatch_max"]) < 1e-4 for m in seen)
    assert float(seen[0]["policy/kl_reference"]) == pytest.approx(0.0, abs=1e-4)


def test_what_is_missing_is_named() -> None:
    policy = loops.token_policy(8)
    critic = critic_from(policy)
    for cfg, missing in ((CFG, "reference"), (RLHFConfig(beta=0.0, ptx_coef=1.0), "texts")):
        with pytest.raises(ConfigError, match=missing):
            next(rlhf(cfg, rollouts(policy), policy, critic, sgd(policy), generator(), total_steps=9))


class _Kept:
    """Rollouts that are kept."""

    def __init__(self, collect: Rollouts, kept: list[Episodes]) -> None:
        self.collect, self.kept, self.sampling, self.steps = collect, kept, collect.sampling, 0

    def __call__(self, n: int) -> Episodes:
        self.kept.append(self.collect(n))
        return self.kept[-1]

    def stats(self) -> dict[str, torch.Tensor]:
        return self.collect.stats()


def _of(acted: torch.Tensor, x: torch.Tensor) -> list[float]:
    return x[acted].tolist()


def _start() -> list[torch.Tensor]:
    policy = loops.token_policy(8, sharp=10.0)
    return [p.detach() for p in (*policy.parameters(), *scored_critic(policy).parameters())]
