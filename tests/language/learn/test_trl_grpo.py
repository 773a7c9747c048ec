"""Differential tests of GRPO and RLOO against TRL 1.16: the same completions, rewards and log-probabilities.

Known disagreements:

- Corrected divergence at the level of sequences: TRL multiplies each token's estimate by the sequence's ratio, which is
  no longer an expectation over the policy; here every token keeps its own ratio.
- GPT-2 and left padding: TRL gives no position ids, so that a padded prompt is read at the wrong positions.
- RLOO off-policy: TRL clips the ratio of the whole sequence (a product); here RLOO is the policy gradient, as in its
  paper. On the sampler's own policy the gradients are equal.
- Masked truncated completions: TRL leaves their rewards in the group's mean and their tokens out of the denominator;
  here it is the other way round.

- A reward that gives no number: TRL lets the completion learn from the others; here it is not judged, and left out.

Not here: TRL's losses sapo and vespo.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from operant.language.episodes.episodes import Episodes, Score, episodes
from operant.language.learn.group_critic import group_advantages
from operant.language.learn.grpo_loss import correction, group_loss, reduction
from operant.language.learn.multi_reward import RewardMatrix
from operant.language.model.language_model import LanguageModel
from operant.language.model.shared_prefix import evaluate_groups
from operant.language.sample.engine import Completion
from operant.language.settings.grpo import PRESETS, GRPOConfig
from operant.math.baseline import normalised_sum, whiten
from operant.math.objective import cispo
from operant.math.ratio import near, sequence_level
from reference.groups import completion

os.environ["HF_HUB_OFFLINE"] = "1"
pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

G, LIMIT = 4, 12
REWARDS = [0.0, 1.0, 0.25, 1.0, 0.5, 0.5, 0.0, 2.0]
Found = tuple[Tensor, list[Tensor]]


def completions() -> list[Completion]:
    """Two groups whose prompts differ in length, so that TRL pads on the left."""
    return [completion(1, k, 3 + 2 * k, start=3) for k in range(G)] + [
        completion(2, k, 9 - 2 * k, start=6) for k in range(G)
    ]


@pytest.fixture(scope="module")
def made() -> Episodes:
    return episodes(completions(), REWARDS)


def trainer_of(kind: str, family: str, folder: Path) -> Any:
    import trl
    from datasets import Dataset

    from reference.tiny_language import tiny_model, tiny_tokenizer

    settings = getattr(trl, f"{kind}Config")(
        output_dir=str(folder), per_device_train_batch_size=2 * G, num_generations=G, max_completion_length=LIMIT,
        steps_per_generation=1, bf16=False, gradient_checkpointing=False, disable_dropout=True, use_cpu=True,
        report_to="none", save_strategy="no", beta=0.0,
    )  # fmt: skip
    trainer = getattr(trl, f"{kind}Trainer")(
        model=tiny_model(family, vocabulary=300, width=16),
        args=settings,
        reward_funcs=lambda **_: None,
        processing_class=tiny_tokenizer(),
        train_dataset=Dataset.from_dict({"prompt": ["a"] * 8}),
    )
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return trainer_of("GRPO", "llama", tmp_path_factory.mktemp("grpo"))


def given(trainer: Any, rewards: list[Any], *, rloo: bool = False, sampled: Any = None) -> dict[str, Any]:
    """What TRL makes of these completions and rewards: padded ids, masks, advantages."""
    cs = completions()
    ids = [list(c.prompt.tokens) for c in cs], [list(c.tokens) for c in cs]
    text = [""] * len(cs)
    trainer._generate = lambda prompts: (*ids, text) if rloo else (*ids, None, text, sampled, {}, None, None)
    column = [float("nan") if r is None else r for r in rewards]
    trainer._calculate_rewards = lambda *_: torch.tensor(column).view(len(cs), -1)
    return trainer._generate_and_score_completions([{"prompt": "a"}] * len(cs))


def moved(made: Episodes, logp: Tensor, seed: int, by: float) -> Tensor:
    """Other log-probabilities of the same tokens, [N, T]."""
    noise = torch.randn(logp.shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(made.traj.acted, logp.detach() + by * noise, 0.0)


def as_trl(made: Episodes, x: Tensor, like: Tensor) -> Tensor:
    """[N, T] of ours laid out as TRL's completions [N, C]."""
    out = torch.zeros(like.shape)
    for row in range(made.rows):
        values = x[row][made.traj.acted[row]]
        out[row, : len(values)] = values
    return out


def theirs(trainer: Any, inputs: dict[str, Any]) -> Found:
    loss = trainer._compute_loss(trainer.model, inputs)
    return loss.detach(), grads(loss, trainer.model)


def grads(loss: Tensor, model: Any) -> list[Tensor]:
    return list(torch.autograd.grad(loss, [p for p in model.parameters() if p.requires_grad]))


def scored(trainer: Any, made: Episodes) -> Tensor:
    policy = LanguageModel(trainer.model, None)
    assert isinstance(made.traj.obs, Tensor)
    found = evaluate_groups(policy, made.traj.obs, made.traj.acted, made.prompt, made.traj.group)
    trainer.model.train()
    return found


def same(a: Found, b: Found) -> None:
    torch.testing.assert_close(a[0], b[0], atol=1e-6, rtol=1e-5)
    for x, y in zip(a[1], b[1], strict=True):
        torch.testing.assert_close(x, y, atol=2e-6, rtol=1e-4)


LOSSES: dict[str, GRPOConfig] = {
    "grpo": GRPOConfig(reduce="sequence"),
    "bnpo": GRPOConfig(reduce="token"),
    "dapo": GRPOConfig(reduce="token"),
    "dr_grpo": GRPOConfig(reduce="fixed"),
    "luspo": GRPOConfig(reduce="fixed", fixed_length=1),
    "cispo": GRPOConfig(objective="cispo", max_ratio=1.1),
}


def pair(trainer: Any, made: Episodes, kind: str, level: str, beta: float, corrected: bool) -> tuple[Found, Found]:
    """Loss and gradient of both, with old and reference log-probabilities that differ from the present ones."""
    inputs = given(trainer, REWARDS)
    logp = scored(trainer, made)
    old, ref = moved(made, logp, 1, 0.3), moved(made, logp, 2, 0.5)
    inputs |= {"old_per_token_logps": as_trl(made, old, inputs["completion_ids"])}
    inputs |= {"ref_per_token_logps": as_trl(made, ref, inputs["completion_ids"])}
    trainer.loss_type, trainer.importance_sampling_level, trainer.beta = kind, level, beta
    trainer.args.use_bias_correction_kl = corrected
    trainer.epsilon_low, trainer.epsilon_high = 0.2, 1.1 if kind == "cispo" else 0.28
    peer = theirs(trainer, inputs)
    trainer.beta = 0.0

    cfg = LOSSES[kind].model_copy(update={"clip_high": 0.28, "beta": beta, "kl_corrected": corrected})
    if level == "sequence" and kind != "cispo":
        cfg = cfg.model_copy(update={"objective": "gspo"})
    adv, acted = group_advantages(cfg, made, torch.zeros_like(logp)), made.traj.acted
    reduce = reduction(cfg, acted, LIMIT)
    if level == "sequence" and kind == "cispo":  # no paper's, but the same functions
        loss, _ = cispo(logp, sequence_level(logp, old, acted), adv, acted, max_ratio=1.1, reduce=reduce)
        extra, _ = group_loss(cfg)(logp, old, ref, torch.zeros_like(adv), acted, beta=beta, reduce=reduce)
        loss = loss + extra
    else:
        loss, _ = group_loss(cfg)(logp, old, ref, adv, acted, beta=beta, reduce=reduce)
    return peer, (loss.detach(), grads(loss, trainer.model))


@pytest.mark.parametrize("kind", list(LOSSES))
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize(("beta", "corrected"), [(0.0, False), (0.04, False), (0.04, True)])
def test_loss_and_gradient(trainer: Any, made: Episodes, kind: str, level: str, beta: float, corrected: bool) -> None:
    peer, ours = pair(trainer, made, kind, level, beta, corrected)
    assert max(float(g.abs().max()) for g in ours[1]) > 1e-3
    if corrected and level == "sequence":  # a known disagreement
        assert float((peer[0] - ours[0]).abs()) > 1e-5
    else:
        same(peer, ours)


def test_the_preset_is_trls_default(trainer: Any, made: Episodes) -> None:
    import trl

    cfg, default = PRESETS["trl_1_16"], {k: f.default for k, f in trl.GRPOConfig.__dataclass_fields__.items()}
    assert (default["loss_type"], default["importance_sampling_level"]) == ("dapo", "token")
    for theirs_is, ours_is in {
        "scale_rewards": cfg.scale,
        "beta": cfg.beta,
        "epsilon": cfg.clip,
        "epsilon_high": cfg.clip_high,
        "num_iterations": cfg.epochs,
        "num_generations": cfg.samples,
        "use_bias_correction_kl": cfg.kl_corrected,
        "mask_truncated_completions": cfg.truncated == "mask",
        "learning_rate": cfg.lr,
        "lr_scheduler_type": cfg.lr_schedule,
        "max_grad_norm": cfg.max_grad_norm,
        "weight_decay": cfg.weight_decay,
    }.items():
        assert default[theirs_is] == ours_is, theirs_is
    inputs = given(trainer, REWARDS)
    trainer.loss_type, trainer.importance_sampling_level, trainer.epsilon_high = "dapo", "token", 0.2
    logp = scored(trainer, made)
    adv = group_advantages(cfg, made, torch.zeros_like(logp))
    reduce = reduction(cfg, made.traj.acted, LIMIT)
    loss, _ = group_loss(cfg)(logp, logp.detach(), None, adv, made.traj.acted, beta=0.0, reduce=reduce)
    same(theirs(trainer, inputs), (loss.detach(), grads(loss, trainer.model)))


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
@pytest.mark.parametrize("rewards", [REWARDS, [*REWARDS[:2], None, *REWARDS[3:]], [1.0] * 8])
def test_advantages(trainer: Any, scale: Any, rewards: list[Score]) -> None:
    trainer.scale_rewards = scale
    peer = given(trainer, rewards)["advantages"]
    trainer.scale_rewards = "group"
    made = episodes(completions(), rewards)
    ours = group_advantages(GRPOConfig(scale=scale), made, torch.zeros_like(made.traj.logp))
    torch.testing.assert_close(ours.sum(-1) / made.traj.acted.sum(-1), peer, atol=1e-5, rtol=1e-5)


def of_several(trainer: Any, value: Tensor, weight: Tensor) -> Tensor:
    """TRL's advantages [N] of rewards [N, K], normalised before they are summed."""
    kept = trainer.reward_weights, trainer.reward_funcs, trainer.reward_func_names
    trainer.reward_weights, trainer.reward_funcs = weight.float(), [None] * len(weight)
    trainer.reward_func_names = [f"reward{k}" for k in range(len(weight))]
    trainer.multi_objective_aggregation = "normalize_then_sum"
    peer = given(trainer, value.flatten().tolist())["advantages"]
    trainer.multi_objective_aggregation = "sum_then_normalize"
    trainer.reward_weights, trainer.reward_funcs, trainer.reward_func_names = kept
    return peer


SEVERAL = torch.tensor(
    [[1, 0, -3.5], [0, 1, -2], [0, 1, 7], [1, 1, 0.25], [1, 0, 4], [1, 1, 4], [1, 0, 4], [1, 1, 5]], dtype=torch.float64
)
MISSING = [(0, 2), (3, 0), (3, 1), (3, 2), (4, 1), (5, 1), (6, 1)]
"""(Row, reward): one of three, a whole row, and all but one of a group's."""


@pytest.mark.parametrize("weight", [[1.0, 1.0, 1.0], [2.0, 0.5, -0.1], [1.0, 0.0, 0.0]])
@pytest.mark.parametrize("missing", [False, True])
def test_advantages_of_rewards_that_are_normalised_before_they_are_summed(
    trainer: Any, weight: list[float], missing: bool
) -> None:
    """D9, GDPO: with weights, a reward that is the same in a group, and rewards that gave nothing."""
    value, weights = SEVERAL.clone(), torch.tensor(weight, dtype=torch.float64)
    for row, k in MISSING if missing else []:
        value[row, k] = torch.nan
    peer, group = of_several(trainer, value, weights), torch.tensor([1] * G + [2] * G)
    ours = whiten(normalised_sum(value, group, weights), ~value.isnan().all(1), 1e-4)
    torch.testing.assert_close(ours.float(), peer, atol=1e-5, rtol=1e-5)
    assert float(peer.abs().max()) > 0.9


def test_the_gdpo_preset_gives_these_advantages(trainer: Any) -> None:
    """Through the loop's own function; a completion that no reward judged is left out by both."""
    weights = torch.tensor([2.0, 0.5, -0.1], dtype=torch.float64)
    for out in ([], [3]):
        value = SEVERAL.clone()
        value[out] = torch.nan
        total = [None if bool(row.isnan().any()) else float(row @ weights) for row in value]
        made = episodes(completions(), total)
        rewards = RewardMatrix(value=value, weight=weights)
        adv = group_advantages(PRESETS["gdpo"], made, torch.zeros_like(made.traj.logp), rewards)
        peer = of_several(trainer, value, weights)
        torch.testing.assert_close(adv.sum(-1) / made.traj.acted.sum(-1), peer, atol=1e-5, rtol=1e-5)
        summed = group_advantages(GRPOConfig(), made, torch.zeros_like(made.traj.logp))
        assert float((adv - summed).abs().max()) > 0.1


@pytest.mark.parametrize("mode", ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
@pytest.mark.parametrize("low", [None, 0.7])
def test_what_corrects_for_another_sampler(trainer: Any, made: Episodes, mode: str, low: float | None) -> None:
    """D11: four ways, with and without a lower bound, which its own settings leave out."""
    logp = scored(trainer, made)
    sampled = moved(made, logp, 5, 0.6)
    lists = [x[own].tolist() for x, own in zip(sampled, made.traj.acted, strict=True)]
    trainer.use_vllm, trainer.vllm_importance_sampling_correction = True, True
    trainer.vllm_importance_sampling_mode = mode
    trainer.vllm_importance_sampling_clip_min, trainer.vllm_importance_sampling_clip_max = low, 1.5
    trainer.loss_type, trainer.importance_sampling_level, trainer.epsilon_high = "dapo", "token", 0.2
    inputs = given(trainer, REWARDS, sampled=lists)
    peer = theirs(trainer, inputs)
    trainer.use_vllm = False

    cfg = GRPOConfig.model_validate(
        {"correction": mode.replace("token", "step"), "correction_min": low or 0.0, "correction_max": 1.5}
    )
    acted = made.traj.acted
    weight = correction(cfg, logp.detach(), sampled, acted)
    there = inputs["completion_mask"].bool()
    torch.testing.assert_close(
        as_trl(made, weight, inputs["completion_ids"])[there],
        inputs["importance_sampling_ratio"].expand_as(there)[there],
        atol=1e-5, rtol=1e-5,
    )  # fmt: skip
    assert len({round(float(w), 4) for w in weight[acted]} & {1.5, 0.0, 0.7}) > 0  # a bound was met
    adv = group_advantages(cfg, made, torch.zeros_like(logp)) * weight
    reduce = reduction(cfg, acted, LIMIT)
    loss, _ = group_loss(cfg)(logp, logp.detach(), None, adv, acted, beta=0.0, reduce=reduce)
    same(peer, (loss.detach(), grads(loss, trainer.model)))


@pytest.mark.parametrize("threshold", [0.0, 10.0])
def test_the_off_policy_mask(trainer: Any, made: Episodes, threshold: float) -> None:
    """D12: of the sampler's log-probabilities, beside old ones of the trainer's own."""
    logp = scored(trainer, made)
    old, sampled = moved(made, logp, 1, 0.3), moved(made, logp, 7, 0.5)
    inputs = given(trainer, REWARDS)
    inputs |= {"old_per_token_logps": as_trl(made, old, inputs["completion_ids"])}
    inputs |= {"sampling_per_token_logps": as_trl(made, sampled, inputs["completion_ids"])}
    trainer.loss_type, trainer.importance_sampling_level, trainer.epsilon_high = "dapo", "token", 0.2
    trainer.off_policy_mask_threshold = threshold
    peer = theirs(trainer, inputs)
    trainer.off_policy_mask_threshold = None

    cfg, acted = GRPOConfig(off_policy=threshold), made.traj.acted
    adv = group_advantages(cfg, made, torch.zeros_like(logp))
    kept = near(adv, logp, sampled, acted, threshold=threshold)
    assert bool(kept.all()) == (threshold == 10.0)
    reduce = reduction(cfg, acted, LIMIT)
    loss, _ = group_loss(cfg)(logp, old, None, adv, acted, beta=0.0, reduce=reduce, sampled_logp=sampled)
    same(peer, (loss.detach(), grads(loss, trainer.model)))


def test_rloo(made: Episodes, tmp_path: Path) -> None:
    trainer = trainer_of("RLOO", "llama", tmp_path)
    rewards: list[Score] = [*REWARDS[:2], None, *REWARDS[3:]]
    for scores in (REWARDS, rewards):
        peer = given(trainer, scores, rloo=True)["advantages"]
        told = episodes(completions(), scores)
        adv = group_advantages(PRESETS["rloo"], told, torch.zeros_like(made.traj.logp))
        torch.testing.assert_close(adv.sum(-1) / made.traj.acted.sum(-1), peer, atol=1e-5, rtol=1e-5)
    inputs = given(trainer, REWARDS, rloo=True)
    logp, cfg = scored(trainer, made), PRESETS["rloo"]
    inputs["old_logps"] = logp.detach().sum(-1)
    adv = group_advantages(cfg, made, torch.zeros_like(logp))
    reduce = reduction(cfg, made.traj.acted, LIMIT)
    loss, _ = group_loss(cfg)(logp, logp.detach(), None, adv, made.traj.acted, beta=0.05, reduce=reduce)
    for x, y in zip(theirs(trainer, inputs)[1], grads(loss, trainer.model), strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-4)
    charge = torch.where(made.traj.acted, 0.05 * (logp.detach() - moved(made, logp, 2, 0.5)), 0.0)
    shifted = group_advantages(cfg, made, charge)
    told = episodes(completions(), [r - float(c) for r, c in zip(REWARDS, charge.sum(-1), strict=True)])
    torch.testing.assert_close(shifted, group_advantages(cfg, told, torch.zeros_like(charge)), atol=1e-5, rtol=1e-5)


def test_log_probabilities_and_the_fused_head(trainer: Any, made: Episodes) -> None:
    inputs = given(trainer, REWARDS)
    ids = torch.cat((inputs["prompt_ids"], inputs["completion_ids"]), 1)
    mask = torch.cat((inputs["prompt_mask"], inputs["completion_mask"]), 1)
    score = partial(trainer._get_per_token_logps_and_entropies, trainer.model, ids, mask)
    peer, _, _ = score(inputs["completion_ids"].shape[1])
    logp = scored(trainer, made)
    ours, there = as_trl(made, logp, peer), inputs["completion_mask"].bool()
    torch.testing.assert_close(ours, torch.where(there, peer.detach(), 0.0), atol=2e-6, rtol=1e-5)
    for x, y in zip(grads((peer * there).sum(), trainer.model), grads(logp.sum(), trainer.model), strict=True):
        torch.testing.assert_close(x, y, atol=1e-4, rtol=1e-4)


def test_trl_reads_left_padded_prompts_of_gpt2_at_the_wrong_positions(made: Episodes, tmp_path: Path) -> None:
    trainer = trainer_of("GRPO", "gpt2", tmp_path)
    inputs = given(trainer, REWARDS)
    ids = torch.cat((inputs["prompt_ids"], inputs["completion_ids"]), 1)
    mask = torch.cat((inputs["prompt_mask"], inputs["completion_mask"]), 1)
    peer, _, _ = trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, inputs["completion_ids"].shape[1])
    gap = (as_trl(made, scored(trainer, made), peer) - peer).detach().abs() * inputs["completion_mask"]
    assert float(gap[G:].max()) < 1e-5  # the longest prompt has no padding
    assert float(gap[:G].max()) > 1e-3
