"""Settings of runs on worlds of many turns, and the presets of learning in them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from operant.config.schema import Section
from operant.language.settings.learning import SFTConfig
from operant.language.settings.rlhf import ExpertIterationConfig
from operant.language.settings.runs import BY_REWARDS, BaseConfig, LanguageEvalConfig, LanguageRun, SFTSaveConfig


class EpisodeConfig(Section):
    """How an episode of many turns is told to the model, and what becomes of faults."""

    history: Literal["full", "last", "lines", "memory"] = Field(
        default="full",
        description="what a prompt tells of earlier turns: all; the last ones; a line `action → effect` of each; or "
        "what the model writes between <memory> and </memory>",
    )
    last: PositiveInt = Field(default=3, description="earlier turns that history = last tells")
    rows: Literal["auto", "append", "per_turn"] = Field(
        default="auto",
        description="auto: turns share a row where a prompt extends the tokens before it exactly; append: always, also "
        "where the chat template would drop thoughts; per_turn: each turn is a row",
    )
    context: PositiveInt | None = Field(
        default=None, description="tokens of a prompt and its answer at most; the positions of the model if unset"
    )
    retries: NonNegativeInt = Field(
        default=2, description="times an episode is played again, with equal draws, after its world broke"
    )
    timeout: PositiveFloat = Field(
        default=60.0, description="seconds that a world may take to answer; then the episode is cut, and not scored"
    )

    @model_validator(mode="after")
    def _appends_all(self) -> Self:
        """Refuse to append where a prompt does not begin with the one before it."""
        if self.rows == "append" and self.history != "full":
            raise ValueError(f"with history = {self.history} a prompt does not extend the one before: set rows = auto")
        return self


class LoopConfig(Section):
    """Policy gradients on episodes of many turns, their group as the critic (LOOP: Chen et al. 2025)."""

    scenarios: PositiveInt = Field(default=8, description="scenarios a step")
    samples: PositiveInt = Field(default=6, description="K, episodes of each scenario: a group")
    batch: PositiveInt | None = Field(default=None, description="episodes in a gradient step; all if unset")
    epochs: PositiveInt = Field(default=2, description="passes over the episodes of a step")
    tokens: PositiveInt | None = Field(
        default=None,
        description="tokens of one forward and backward; those of a gradient step add up exactly. If unset, 1,536 on a "
        "CPU, and 16,384 elsewhere",
    )
    lr: PositiveFloat = Field(default=5e-5, description="AdamW's learning rate at the start")
    lr_schedule: Literal["constant", "linear"] = Field(
        default="constant", description="linear falls to 0 at total_steps"
    )
    weight_decay: NonNegativeFloat = Field(default=0.01, description="AdamW's weight decay")
    max_grad_norm: PositiveFloat = Field(default=1.0, description="bound on the global gradient norm")
    objective: Literal["clip", "reinforce"] = Field(
        default="clip", description="clip: the clipped surrogate by token; reinforce: no ratio"
    )
    clip: PositiveFloat = Field(
        default=0.1, description="ε: the ratio counts between 1/(1 + ε) and 1 + ε, for each token"
    )
    baseline: Literal["leave_one_out", "group", "none"] = Field(
        default="leave_one_out",
        description="what is subtracted from a return: the mean of the others in its group, the group's mean, nothing",
    )
    scale: Literal["none", "group", "batch"] = Field(
        default="none", description="what advantages are divided by: nothing, or the deviation in the group or step"
    )
    scale_eps: NonNegativeFloat = Field(default=1e-4, description="added to the deviation")
    credit: Literal["episode", "turns", "anchors"] = Field(
        default="episode",
        description="episode: every token carries its episode's return; turns: the rewards from its turn on, "
        "normalised over the step; anchors: the first, and how a turn compares with those from an equal state",
    )
    discount: float = Field(default=1.0, description="γ, per turn, where credit is turns or anchors", ge=0.0, le=1.0)
    anchor_weight: NonNegativeFloat = Field(default=1.0, description="ω, weight of the second part of credit = anchors")
    reduce: Literal["episode", "token"] = Field(
        default="episode", description="what counts the same in a gradient step: every episode, or every token"
    )
    drop: NonNegativeFloat = Field(
        default=0.01, description="an episode none of whose advantages is as large as this is left out"
    )
    max_kl: PositiveFloat = Field(
        default=20.0, description="estimated divergence from what sampled, in nats a token, that ends the epochs"
    )
    truncated: Literal["score", "mask"] = Field(
        default="score",
        description="an episode cut at the limit on turns or tokens: score it, or give it advantage 0 and no say in "
        "the baseline",
    )
    learn: Literal["sampled", "all"] = Field(
        default="sampled",
        description="sampled: the tokens that the policy chose; all: those of the world between them too, which is an "
        "ablation, and wrong",
    )
    mismatch_alarm: PositiveFloat = Field(
        default=0.05, description="mean |log π of the sampler − log π of the trainer| above which a step warns"
    )

    @model_validator(mode="after")
    def _has_groups(self) -> Self:
        """Refuse a baseline of others where there are none, and what two settings would say differently."""
        if self.samples == 1 and (self.baseline != "none" or self.scale == "group"):
            raise ValueError("samples = 1 leaves nobody to compare with: set baseline and scale to none")
        if self.credit == "turns" and (self.baseline == "leave_one_out" or self.scale == "group"):
            raise ValueError("credit = turns is normalised over the step: set baseline to none, scale to none or batch")
        return self


LOOP_PRESETS: Mapping[str, LoopConfig] = MappingProxyType(
    {
        "loop": LoopConfig(scenarios=40, samples=6, batch=32, epochs=2, lr=5e-5, weight_decay=0.01, max_grad_norm=0.1),
        "grpo": LoopConfig(baseline="group", scale="group", clip=0.2, epochs=1, drop=0.0),
        "reinforce": LoopConfig(objective="reinforce", baseline="none", epochs=1, drop=0.0),
        "rebn": LoopConfig(
            objective="reinforce", baseline="none", scale="batch", credit="turns", discount=0.99, epochs=1, drop=0.0
        ),
        "gigpo": LoopConfig(
            baseline="group", scale="group", credit="anchors", discount=0.95, clip=0.2, epochs=1, drop=0.0
        ),
    }
)
"""LOOP (arXiv:2502.01600), GRPO (2402.03300), REINFORCE, and turn-level credit: return batch normalisation (GEM,
2510.01051) and anchor-state groups (GiGPO, 2505.10978)."""


class TurnPPOConfig(Section):
    """PPO whose steps are turns: a critic values the state in which a turn begins."""

    scenarios: PositiveInt = Field(default=16, description="scenarios a step")
    samples: PositiveInt = Field(default=2, description="episodes of each scenario")
    batch: PositiveInt | None = Field(default=None, description="episodes in a gradient step; all if unset")
    epochs: PositiveInt = Field(default=2, description="passes over the episodes of a step")
    tokens: PositiveInt = Field(
        default=16_384, description="tokens of one forward and backward; those of a gradient step add up exactly"
    )
    lr: PositiveFloat = Field(default=5e-5, description="AdamW's learning rate at the start")
    lr_schedule: Literal["constant", "linear"] = Field(
        default="constant", description="linear falls to 0 at total_steps"
    )
    weight_decay: NonNegativeFloat = Field(default=0.0, description="AdamW's weight decay")
    max_grad_norm: PositiveFloat = Field(default=1.0, description="bound on the global gradient norm")
    discount: float = Field(default=1.0, description="γ, per turn", ge=0.0, le=1.0)
    lam: float = Field(default=0.95, description="λ of generalised advantage estimation, per turn", ge=0.0, le=1.0)
    clip: PositiveFloat = Field(default=0.2, description="how far the ratio may move from 1")
    value_coef: NonNegativeFloat = Field(default=0.5, description="weight of the value loss, which has a factor ½")
    whiten: bool = Field(default=True, description="shift and scale the advantages of a step")
    mismatch_alarm: PositiveFloat = Field(
        default=0.05, description="mean |log π of the sampler − log π of the trainer| above which a step warns"
    )


LEARN = "assistant: what the oracle says; all: what the world says too, from which a model from nothing learns to copy"


class CloneConfig(SFTConfig):
    """Behaviour cloning of a world's oracle: maximum likelihood of what it says, turn by turn."""

    learn: Literal["assistant", "all"] = Field(default="assistant", description=LEARN)  # pyright: ignore[reportIncompatibleVariableOverride]
    traces: PositiveInt = Field(default=1_000, description="scenarios whose oracle is shown, the first of train")
    length: PositiveInt = Field(default=2_048, description="longest row, in tokens; what is longer loses its end")
    batch: PositiveInt = Field(default=32, description="rows in a gradient step")
    tokens: PositiveInt = Field(
        default=1_536, description="tokens of one forward and backward; those of a gradient step add up exactly"
    )
    packing: bool = Field(default=False, description="lay several examples into one row of `length` tokens")
    lr: PositiveFloat = Field(default=1e-3, description="AdamW's learning rate after the warm-up")


class WorldBaseConfig(BaseConfig):
    """The small model that stands in where none is named: a Llama made here, cloned on oracle traces, and kept."""

    width: PositiveInt = Field(default=160, description="of the hidden states")
    layers: PositiveInt = Field(default=4, description="blocks")
    positions: PositiveInt = Field(default=2_048, description="the longest row, in tokens")
    examples: PositiveInt = Field(default=8_000, description="rows of oracle traces it is trained on, repeats counted")
    traces: PositiveInt = Field(default=1_000, description="scenarios whose oracle is shown, the first of train")
    learn: Literal["assistant", "all"] = Field(default="assistant", description=LEARN)


class WorldEvalConfig(LanguageEvalConfig):
    """How the model is measured: held-out scenarios, greedily, spread evenly over their list."""

    episodes: PositiveInt = Field(default=200, description="held-out scenarios at the start and the end")
    during: PositiveInt = Field(default=100, description="held-out scenarios of an evaluation in training")
    samples: NonNegativeInt = Field(default=0, description="sampled episodes of each, beside the greedy one")
    split: str = Field(default="test", description="split of the world that is held out")


class WorldRun(LanguageRun):
    """A run in a world of many turns: the world stands where a task stands elsewhere."""

    unused: ClassVar[tuple[str, ...]] = (*LanguageRun.unused, *BY_REWARDS, "base.passes", "base.held_out")
    episode: EpisodeConfig = Field(default_factory=EpisodeConfig)
    base: WorldBaseConfig = Field(default_factory=WorldBaseConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    eval: WorldEvalConfig = Field(default_factory=WorldEvalConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class LoopRun(WorldRun):
    """A run of LOOP or a relative."""

    papers: ClassVar[Mapping[str, Section]] = LOOP_PRESETS
    algorithm: str = Field(default="loop", description="name of the algorithm")
    total_steps: PositiveInt = Field(default=100, description="steps: each plays algo.scenarios groups and learns")
    preset: Literal[tuple(LOOP_PRESETS)] | None = Field(  # pyright: ignore[reportInvalidTypeForm]
        default=None, description="settings of a paper, beneath your own"
    )
    algo: LoopConfig = Field(default_factory=LoopConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class TurnPPORun(WorldRun):
    """A run of PPO by turns."""

    algorithm: str = Field(default="turn-ppo", description="name of the algorithm")
    total_steps: PositiveInt = Field(default=100, description="steps: each plays algo.scenarios scenarios and learns")
    algo: TurnPPOConfig = Field(default_factory=TurnPPOConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class CloneRun(WorldRun):
    """A run of behaviour cloning from a world's oracle."""

    unused: ClassVar[tuple[str, ...]] = (
        *WorldRun.unused, "stop_at", "save.rollouts", "base.examples", "base.batch", "base.lr",
        "base.traces", "base.learn",
    )  # fmt: skip
    algorithm: str = Field(default="clone", description="name of the algorithm")
    total_steps: PositiveInt = Field(default=8_000, description="rows to learn from, repeats counted")
    algo: CloneConfig = Field(default_factory=CloneConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    save: SFTSaveConfig = Field(default_factory=SFTSaveConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class FilteredCloneRun(WorldRun):
    """A run of filtered cloning: episodes of one's own that succeed are imitated."""

    algorithm: str = Field(default="filtered-clone", description="name of the algorithm")
    total_steps: PositiveInt = Field(default=20, description="rounds: each plays, keeps what is good and imitates it")
    algo: ExpertIterationConfig = Field(default_factory=ExpertIterationConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


RUNS: dict[str, type[WorldRun]] = {
    "loop": LoopRun,
    "turn-ppo": TurnPPORun,
    "clone": CloneRun,
    "filtered-clone": FilteredCloneRun,
}
"""The config class of each algorithm that learns in worlds."""
