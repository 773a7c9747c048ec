"""GRPO: advantages against loops, losses by preset, invariances, refusals, learning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from operant.config.errors import ConfigError, OperantError
from operant.data.streams import Streams
from operant.language.episodes.episodes import Episodes, OutcomeAndSteps, Prompts, Rollouts, Score, episodes
from operant.language.learn.batch_checks import TrainingWarning
from operant.language.learn.group_critic import group_advantages
from operant.language.learn.grpo import grpo
from operant.language.learn.grpo_loss import group_loss, reduction
from operant.language.learn.kl_controller import KLController
from operant.language.model.language_model import LanguageModel
from operant.language.sample.engine import Engine, Sampling
from operant.language.settings.grpo import PRESETS, GRPOConfig
from operant.math.baseline import whiten
from operant.math.objective import policy_gradient
from reference.groups import completion, outcome, process

pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore:.*of the completions were cut")

REWARDS = [[1.0, 0.0, 0.0, 1.0], [0.5, 0.25, 0.0, 0.125], [1.0, 1.0, 1.0, 1.0]]


def batch(scores: list[list[Score]], **cut: bool) -> Episodes:
    """Groups of completions of lengths 1, 2, …"""
    rows = [completion(g, k, 1 + k + g, **cut) for g, group in enumerate(scores) for k in range(len(group))]
    return episodes(rows, [score for group in scores for score in group])


def advantages(cfg: GRPOConfig, made: Episodes, charge: Tensor | None = None) -> Tensor:
    return group_advantages(cfg, made, torch.zeros_like(made.traj.reward) if charge is None else charge)


# ---------------------------------------------------------------------------------------------------- advantages
def test_outcome_advantages_are_the_papers() -> None:
    made = batch([list(g) for g in REWARDS])
    adv = advantages(GRPOConfig(), made)
    expected = torch.tensor(outcome(REWARDS), dtype=torch.float32).flatten()
    for row, value in enumerate(expected):
        torch.testing.assert_close(adv[row][made.traj.acted[row]], value.expand(int(made.traj.acted[row].sum())))
    assert bool((adv[~made.traj.acted] == 0).all())


def test_process_advantages_are_the_papers() -> None:
    steps: list[Any] = [[(0, 1.0)], [(0, 0.0), (1, 1.0)], [(1, 0.5), (2, 0.0)], [(0, 1.0), (2, 0.25), (3, 0.0)]]
    made = batch([steps])
    adv = advantages(GRPOConfig(supervision="process"), made)
    for row, expected in enumerate(process(steps, [1, 2, 3, 4])):
        torch.testing.assert_close(adv[row][made.traj.acted[row]], torch.tensor(expected, dtype=torch.float32))


def test_both_advantages_are_added() -> None:
    steps: list[Any] = [[(0, 1.0)], [(0, 0.0), (1, 1.0)], [(1, 0.5), (2, 0.0)], [(0, 1.0), (2, 0.25), (3, 0.0)]]
    wholes = [1.0, 0.0, 0.0, 3.0]
    made = batch([[OutcomeAndSteps(outcome=o, steps=s) for o, s in zip(wholes, steps, strict=True)]])
    adv = advantages(GRPOConfig(supervision="both"), made)
    by_step, by_whole = process(steps, [1, 2, 3, 4]), outcome([wholes])[0]
    for row, expected in enumerate(by_step):
        wanted = torch.tensor(expected, dtype=torch.float32) + by_whole[row]
        torch.testing.assert_close(adv[row][made.traj.acted[row]], wanted)
    assert made.traj.reward.sum(-1).tolist() == [2.0, 1.0, 0.5, 4.25]  # what is reported is all that was earned


def test_one_reward_at_the_end_makes_process_outcome() -> None:
    made = batch([list(g) for g in REWARDS])
    torch.testing.assert_close(advantages(GRPOConfig(supervision="process"), made), advantages(GRPOConfig(), made))


def test_leave_one_out_is_the_group_mean_stretched() -> None:
    made = batch([list(g) for g in REWARDS])
    loo = advantages(GRPOConfig(baseline="leave_one_out", scale="none"), made)
    torch.testing.assert_close(loo, advantages(GRPOConfig(scale="none"), made) * 4 / 3)


def test_scales_of_the_step_and_of_all_tokens() -> None:
    made = batch([list(g) for g in REWARDS])
    ret, bare = torch.tensor(REWARDS).flatten(), advantages(GRPOConfig(scale="none"), made)
    torch.testing.assert_close(advantages(GRPOConfig(scale="batch"), made), bare / (ret.std() + 1e-4))
    torch.testing.assert_close(
        advantages(GRPOConfig(scale="tokens"), made), whiten(bare, made.traj.acted, 1e-4), atol=1e-6, rtol=1e-5
    )


def test_reinforce_pp_sums_the_charges_from_each_token_on() -> None:
    made = batch([[1.0, 0.0]])
    charge = torch.where(made.traj.acted, 0.1, 0.0)
    cfg = PRESETS["reinforce_pp"].model_copy(update={"scale": "none"})
    adv = advantages(cfg, made, charge)
    assert adv[0][made.traj.acted[0]].tolist() == pytest.approx([0.9])
    assert adv[1][made.traj.acted[1]].tolist() == pytest.approx([-0.2, -0.1])


def test_what_is_not_judged_says_nothing_and_the_others_do_not_hear_it() -> None:
    made = batch([[1.0, None, 0.0, 1.0]])
    adv = advantages(GRPOConfig(), made)
    expected = torch.tensor(outcome([[1.0, 0.0, 1.0]])[0], dtype=torch.float32)
    torch.testing.assert_close(
        adv.sum(-1) / made.traj.acted.sum(-1), torch.cat((expected[:1], torch.zeros(1), expected[1:]))
    )
    alone = advantages(GRPOConfig(baseline="leave_one_out", scale="none"), batch([[1.0, None]]))
    assert alone.count_nonzero() == 0


def test_a_truncated_completion_is_scored_or_masked() -> None:
    rows = [completion(0, k, 3, cut=k == 1) for k in range(3)]
    made = episodes(rows, [1.0, 7.0, 0.0])
    scored, masked = (
        advantages(GRPOConfig(scale="none", truncated=how), made).sum(-1) / 3 for how in ("score", "mask")
    )
    torch.testing.assert_close(scored, torch.tensor([1.0, 7.0, 0.0]) - 8 / 3)
    torch.testing.assert_close(masked, torch.tensor([0.5, 0.0, -0.5]))


# ---------------------------------------------------------------------------------------------------- losses
def numbers(seed: int) -> Tensor:
    return -torch.rand(4, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


ACTED = torch.arange(6) < torch.tensor([6, 2, 4, 5])[:, None]
ADV = torch.tensor([1.0, -0.5, 0.25, -2.0], dtype=torch.float64)[:, None].expand(4, 6)


def loss_of(cfg: GRPOConfig, *, limit: int = 6, old: Tensor | None = None) -> tuple[Tensor, Tensor]:
    logp = numbers(1).requires_grad_()
    old = logp.detach() if old is None else old
    reduce = reduction(cfg, ACTED, limit)
    loss, _ = group_loss(cfg)(logp, old, numbers(3), ADV, ACTED, beta=cfg.beta, reduce=reduce)
    return loss.detach(), torch.autograd.grad(loss, logp)[0]


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_is_the_policy_gradient_where_nothing_has_moved(name: str) -> None:
    cfg = PRESETS[name].model_copy(update={"beta": 0.0})
    logp = numbers(1).requires_grad_()
    bare, _ = policy_gradient(logp, ADV, ACTED, reduce=reduction(cfg, ACTED, 6))
    torch.testing.assert_close(loss_of(cfg)[1], torch.autograd.grad(bare, logp)[0])


def test_deepseekmath_is_equation_3() -> None:
    cfg, old, ref = PRESETS["deepseekmath"], numbers(2), numbers(3)
    total = 0.0
    for i in range(4):
        n = int(ACTED[i].sum())
        for t in range(n):
            logp, a = float(numbers(1)[i, t]), float(ADV[i, t])
            ratio = torch.tensor(logp - float(old[i, t])).exp().item()
            gap = float(ref[i, t]) - logp
            k3 = torch.tensor(gap).exp().item() - gap - 1
            total += (min(ratio * a, min(max(ratio, 0.8), 1.2) * a) - 0.04 * k3) / n / 4
    assert float(loss_of(cfg, old=old)[0]) == pytest.approx(-total, rel=1e-6)


def test_the_reductions_of_dapo_and_dr_grpo() -> None:
    token, constant = (loss_of(PRESETS[name], limit=10)[1] for name in ("dapo", "dr_grpo"))
    torch.testing.assert_close(token, torch.where(ACTED, -ADV / 17, 0.0))
    torch.testing.assert_close(constant, torch.where(ACTED, -ADV / 40, 0.0))


def test_dapo_clips_later_above_than_below() -> None:
    old = torch.where(torch.arange(6) % 2 == 0, numbers(1) - 0.24, numbers(1) + 0.24)
    moved = loss_of(PRESETS["dapo"], old=old)[1] != 0  # ratios 1.27 and 0.79
    stopped = ACTED & (ADV < 0) & (torch.arange(6) % 2 == 1)  # below 0.8 with a bad advantage
    assert torch.equal(moved, ACTED & ~stopped)


def test_penalties_fall_and_are_steered() -> None:
    assert KLController(0.1).begin(0.3) == 0.1
    assert KLController(0.1, "linear").begin(0.3) == pytest.approx(0.03)
    rising, cosine = ([KLController(0.1, how).begin(left) for left in (1.0, 0.5, 0.25, 0.0)] for how in
                      ("rising", "cosine"))  # fmt: skip
    assert rising == pytest.approx([0.0, 0.05, 0.075, 0.1])
    assert cosine == pytest.approx([0.0, 0.05, 0.1 * (0.5 + 0.5 * 2**-0.5), 0.1])
    adaptive = KLController(0.1, "adaptive", target=2.0, horizon=100)
    adaptive.end(4.0, 10)
    assert adaptive.begin(0.5) == pytest.approx(0.1 * 1.02)


# ---------------------------------------------------------------------------------------------------- the loop
@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    from reference.tiny_language import tiny_model

    return {k: v.clone() for k, v in tiny_model("llama", vocabulary=24, positions=32).state_dict().items()}


def start(
    weights: dict[str, Tensor],
    cfg: GRPOConfig,
    score: Any,
    *,
    limit: int = 6,
    steps: int = 100,
    seed: int = 1,
    **held: Any,
) -> tuple[Any, LanguageModel, Rollouts]:
    from reference.tiny_language import tiny_model

    model = tiny_model("llama", vocabulary=24, positions=32)
    model.load_state_dict(weights)
    policy = LanguageModel(model, None)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=cfg.lr, weight_decay=0.0)
    prompts = Prompts([[a, b, 23] for a in range(4, 8) for b in range(4, 8)], seed=seed)
    sampling = Sampling(max_tokens=limit, stop=(1,), **held.pop("sampling", {}))
    collect = Rollouts(Engine(policy, seed=seed), prompts, score, sampling, samples=cfg.samples, resample=cfg.resample)
    run = grpo(cfg, collect, policy, optimizer, Streams(seed).numpy("minibatch"), total_steps=steps, **held)
    return run, policy, collect


def small_tokens(found: list[Any]) -> list[float]:
    return [sum(t < 12 for t in c.tokens) / len(c.tokens) for c in found]


@pytest.mark.parametrize("name", ["deepseekmath", "dr_grpo", "gspo", "cispo", "rloo", "reinforce_pp"])
def test_a_step_does_not_depend_on_its_micro_batches(weights: dict[str, Tensor], name: str) -> None:
    found = []
    for tokens in (10_000, 40, 1):
        cfg = PRESETS[name].model_copy(update={"prompts": 3, "samples": 4, "tokens": tokens, "lr": 1e-3})
        reference = start(weights, cfg, small_tokens)[1] if cfg.beta else None
        run, policy, _ = start(weights, cfg, small_tokens, reference=reference)
        metrics = next(run)
        found.append((metrics, [p.detach().clone() for p in policy.parameters()]))
    for metrics, _ in found[1:]:
        for key in ("loss/policy", "grad/norm", "policy/kl", "sampler/mismatch"):
            torch.testing.assert_close(metrics[key].double(), found[0][0][key].double(), atol=2e-6, rtol=1e-4)
    assert float(found[0][0]["grad/norm"]) > 1e-3
    assert float(found[0][0]["sampler/mismatch_max"]) < 1e-5


def test_the_ratio_is_one_under_top_p_and_at_another_temperature(weights: dict[str, Tensor]) -> None:
    cfg = GRPOConfig(prompts=3, samples=4, lr=1e-3)
    sampling = {"top_p": 0.7, "temperature": 0.8}
    metrics = next(start(weights, cfg, small_tokens, sampling=sampling)[0])
    assert float(metrics["sampler/mismatch_max"]) < 1e-5
    assert float(metrics["sampler/kept"]) < 0.9
    assert float(metrics["policy/kl"]) < 1e-9


def test_the_alarm_sounds_when_the_sampler_has_other_weights(weights: dict[str, Tensor]) -> None:
    cfg = GRPOConfig(prompts=3, samples=4, mismatch_alarm=1e-3)
    run, _, collect = start(weights, cfg, small_tokens)
    assert float(next(run)["sampler/alarm"]) == 0.0
    collect.engine = Engine(start({k: 1.2 * v for k, v in weights.items()}, cfg, small_tokens)[1], seed=1)
    with pytest.warns(TrainingWarning, match="sampler and trainer differ"):
        assert float(next(run)["sampler/alarm"]) == 1.0


def test_what_another_sampler_drew_is_weighed_and_the_ratio_is_the_trainers_own(weights: dict[str, Tensor]) -> None:
    cfg = GRPOConfig(prompts=3, samples=4, mismatch_alarm=10.0)
    found = {}
    for how in ("none", "step_truncate", "step_mask"):
        change = {"correction": how, "correction_min": 0.9, "correction_max": 1.1}
        run, _, collect = start(weights, cfg.model_copy(update=change), small_tokens)
        collect.engine = Engine(start({k: 1.2 * v for k, v in weights.items()}, cfg, small_tokens)[1], seed=1)
        found[how] = next(run)
    assert float(found["none"]["policy/kl"]) > 1e-3
    for how in ("step_truncate", "step_mask"):
        assert float(found[how]["policy/kl"]) == pytest.approx(0.0, abs=1e-6)
        assert float(found[how]["sampler/mismatch"]) > 1e-2  # what is measured is not what was corrected
    norms = [float(m["grad/norm"]) for m in found.values()]
    assert len({round(x, 6) for x in norms}) == 3


def test_iterative_grpo_moves_the_reference(weights: dict[str, Tensor]) -> None:
    cfg = GRPOConfig(prompts=3, samples=4, lr=1e-2, beta=0.1, reference_every=2)
    reference = start(weights, cfg, small_tokens, reference=1)[1]
    run, _, _ = start(weights, cfg, small_tokens, reference=reference)
    divergences = [float(next(run)["policy/kl_reference"]) for _ in range(3)]
    assert divergences[0] == pytest.approx(0.0, abs=1e-5)
    assert divergences[1] > 1e-3
    assert divergences[2] == pytest.approx(0.0, abs=1e-5)  # the policy of step 3 is the reference made after step 2


def test_a_reference_is_needed_exactly_when_beta_is_above_0(weights: dict[str, Tensor]) -> None:
    with pytest.raises(ConfigError, match="needs a reference"):
        next(start(weights, GRPOConfig(beta=0.1), small_tokens)[0])
    with pytest.raises(ConfigError, match="reference_every"):
        next(start(weights, GRPOConfig(reference_every=1), small_tokens)[0])


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (lambda found: [0.5 for _ in found], "every completion scored 0.5"),
        (lambda found: [float(c.prompt.id % 2) for c in found], "in every group all completions scored the same"),
        (lambda found: [float(c.tokens[0]) for c in found], "of the completions were cut"),
    ],
)
def test_the_first_step_says_what_cannot_be_learnt(weights: dict[str, Tensor], score: Any, said: str) -> None:
    run, _, _ = start(weights, GRPOConfig(prompts=2, samples=4), score, limit=3)
    with pytest.warns(TrainingWarning, match=said):
        next(run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        next(run)


def test_a_reward_that_judges_nothing_is_refused(weights: dict[str, Tensor]) -> None:
    with pytest.raises(OperantError, match="not one of 8 completions was judged"):
        next(start(weights, GRPOConfig(prompts=2, samples=4), lambda found: [None for _ in found])[0])


def test_completions_without_a_token_of_ours_are_refused(weights: dict[str, Tensor]) -> None:
    run, _, collect = start(weights, GRPOConfig(prompts=2, samples=4), small_tokens)
    collect.engine.generate = lambda prompts, sampling, *, samples: [  # type: ignore[method-assign]
        completion(p.id, k, 3, forced=(0, 1, 2)) for p in prompts for k in range(samples)
    ]
    with pytest.raises(ConfigError, match="none of 8 completions has a token to train"):
        next(run)


def test_a_policy_learns_to_copy(weights: dict[str, Tensor]) -> None:
    def copied(found: list[Any]) -> list[float]:
        return [sum(a == b for a, b in zip(c.tokens, c.prompt.tokens[:2], strict=False)) / 2 for c in found]

    cfg = GRPOConfig(prompts=8, samples=16, lr=1e-2)
    run, _, _ = start(weights, cfg, copied, limit=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        rewards = [float(next(run)["reward/mean"]) for _ in range(120)]
    assert rewards[0] < 0.15
    assert sum(rewards[-10:]) / 10 > 0.8


WORKER = """
import json, sys
import torch
from torch import distributed
rank, world, tests, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
sys.path.insert(0, tests)
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
from language.learn.test_grpo import shared_step
print(json.dumps(shared_step()))
"""


def shared_step() -> list[float]:
    """Two steps whose numbers do not depend on how many processes take them."""
    from reference.tiny_language import tiny_model

    weights = tiny_model("llama", vocabulary=24, positions=32).state_dict()
    cfg = GRPOConfig(prompts=4, samples=4, lr=1e-3, batch=8, tokens=40, beta=0.1, reduce="sequence", scale="tokens")
    reference = start(weights, cfg, small_tokens, reference=1)[1]
    run, policy, _ = start(weights, cfg, small_tokens, reference=reference)
    told = [
        float(m[k]) for m in (next(run), next(run)) for k in ("loss/policy", "grad/norm", "reward/mean", "policy/kl")
    ]
    return [*told, sum(float(p.detach().double().abs().sum()) for p in policy.parameters())]


@pytest.mark.spread(0)
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    tests = Path(__file__).parents[2]
    env = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", WORKER]
    with_two = [
        subprocess.Popen(
            [*command, str(rank), "2", str(tests), str(tmp_path / "store")], stdout=subprocess.PIPE, env=env
        )
        for rank in range(2)
    ]
    found = [json.loads(p.communicate(timeout=120)[0].splitlines()[-1]) for p in with_two]
    assert found[0] == found[1]
    assert found[0] == pytest.approx(shared_step(), rel=1e-5, abs=1e-7)
