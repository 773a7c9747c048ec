"""Settings of runs on language models: the model, the task, how tokens are drawn, and a config class per algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from operant.config.schema import EnvConfig, EvalConfig, RunConfig, SaveConfig, Section
from operant.language.settings.grpo import PRESETS, GRPOConfig
from operant.language.settings.learning import (
    DPOConfig,
    ProcessRewardConfig,
    RewardModelConfig,
    SFTConfig,
    SoftLabelConfig,
)
from operant.language.settings.rlhf import ConstitutionalConfig, ExpertIterationConfig, RLHFConfig


class ModelConfig(Section):
    """The language model."""

    outward: ClassVar[tuple[str, ...]] = ("path",)
    path: str = Field(
        default="",
        description="a causal language model: Hugging Face folder, hub name, or a run's folder; a small base if empty",
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="type of its parameters; AdamW steps float32 copies of bfloat16"
    )
    recompute: bool = Field(
        default=False,
        description="keep of each layer its input alone for the backward pass and compute it again there: a third more "
        "work, a fraction of the memory",
    )
    lora_rank: NonNegativeInt = Field(default=0, description="rank of adapters, which alone are trained; 0 trains all")
    lora_alpha: PositiveFloat = Field(default=32.0, description="adapters are scaled by it over their rank")
    lora_part: Literal["all", "language", "vision"] = Field(
        default="all", description="of a model that sees: which part has adapters"
    )
    tower: Literal["trained", "frozen"] = Field(
        default="trained", description="of a model that sees: whether what reads pixels is trained"
    )


class BaseConfig(Section):
    """The small base that stands in where no model is named: a Llama made and trained here, and kept."""

    width: PositiveInt = Field(default=128, description="of the hidden states")
    layers: PositiveInt = Field(default=2, description="blocks")
    heads: PositiveInt = Field(default=4, description="of attention")
    positions: PositiveInt = Field(default=256, description="the longest text, in tokens")
    examples: PositiveInt = Field(
        default=60_000,
        description="worked examples it is trained on, repeats counted; fewer where passes or held_out end it",
    )
    passes: PositiveInt = Field(
        default=40, description="the most passes over the demonstrations, or 9,600 examples where that is more"
    )
    held_out: float = Field(
        default=0.1,
        description="share of the demonstrations' prompts that is held out where examples is more than 8 passes over "
        "20 prompts or more: training ends when its loss falls no longer, the best weights are taken; 0 holds out none",
        ge=0.0,
        le=0.5,
    )
    tokenizer: Literal["auto", "bytes", "bpe", "words"] = Field(
        default="auto",
        description="a token for each byte, or byte-level BPE made from the demonstrations, with words: spaces apart, "
        "so that a word is the same tokens wherever it stands; auto: bytes for a small base where prompt and "
        "completion fit half of its positions, and solutions what the task allows",
    )
    vocabulary: PositiveInt = Field(default=512, description="tokens of byte-level BPE at most, 258 of them bytes")
    tied: bool = Field(default=False, description="one table of tokens for what is read and said")
    init: PositiveFloat = Field(default=0.02, description="deviation of the random weights")
    batch: PositiveInt = Field(default=32, description="worked examples in a gradient step")
    lr: PositiveFloat = Field(default=1e-3, description="AdamW's learning rate after the warm-up")
    seed: int = Field(default=0, description="of its weights and of the order of its examples", ge=0)


class TaskConfig(Section):
    """The task."""

    outward: ClassVar[tuple[str, ...]] = ("id",)
    id: str = Field(default="", description="a built-in task, reasoning-gym:NAME, a FILE.py, or a FILE.jsonl")
    options: dict[str, Any] = Field(default_factory=dict, description="options of the task")
    timeout: PositiveFloat = Field(
        default=10.0, description="seconds for one call of a reward in a worker process, which is ended behind them"
    )
    restarts: NonNegativeInt = Field(
        default=100, description="restarts of these processes within restart_window calls; at one more the run fails"
    )
    restart_window: PositiveInt = Field(default=1_000, description="calls that so many restarts may take")


class SamplingConfig(Section):
    """How completions are drawn in training."""

    temperature: NonNegativeFloat = Field(default=1.0, description="of the softmax; 0 takes the most probable token")
    top_k: NonNegativeInt = Field(default=0, description="draw from so many tokens; 0 draws from all")
    top_p: float = Field(default=1.0, description="draw from the most probable that hold this mass", gt=0.0, le=1.0)
    min_p: float = Field(default=0.0, description="draw from those this share as probable as the best", ge=0.0, lt=1.0)
    max_tokens: PositiveInt | None = Field(
        default=None,
        description="limit on a completion; if unset, what the task says it may need, else 256 or half of the model's "
        "positions, whichever is less",
    )
    slots: PositiveInt = Field(default=64, description="completions decoded together")


class LanguageEvalConfig(EvalConfig):
    """How the model is measured: the same held-out prompts, by greedy decoding and by samples."""

    episodes: PositiveInt = Field(default=200, description="held-out prompts of an evaluation at the start and the end")
    during: PositiveInt = Field(default=100, description="held-out prompts of an evaluation in training")
    samples: NonNegativeInt = Field(default=4, description="samples of each prompt, beside greedy decoding; 0 for none")
    before: bool = Field(default=True, description="measure the model before training too")


class LanguageSaveConfig(SaveConfig):
    """What the run folder keeps."""

    every: PositiveInt | None = Field(default=20, description="steps between checkpoints")
    videos: bool = Field(default=False, description="of no use here")
    rollouts: NonNegativeInt = Field(
        default=1, description="steps between those whose completions are kept, in rollouts/; 0 keeps none"
    )


class SFTSaveConfig(LanguageSaveConfig):
    """What the run folder keeps."""

    every: PositiveInt | None = Field(default=20_000, description="examples between checkpoints")
    rollouts: NonNegativeInt = Field(default=1, description="of no use here: nothing is sampled in training")


class LabelledSaveConfig(SFTSaveConfig):
    """What the run folder keeps."""

    rollouts: NonNegativeInt = Field(
        default=1, description="whether a task's completions that are labelled are kept, in rollouts/; 0 keeps none"
    )


class LanguageRun(RunConfig):
    """A run on a language model. `env` stands for the task where every run has one."""

    target: ClassVar[tuple[str, ...]] = ("task", "id")
    unused: ClassVar[tuple[str, ...]] = ("save.videos", "eval.copies", "eval.max_steps")
    aliases: ClassVar[Mapping[str, str]] = MappingProxyType({"from": "model.path", "init_from": "model.path"})
    kind: ClassVar[str] = "language"
    threads: PositiveInt = Field(default=2, description="threads torch may use")
    device: str = Field(default="cpu", description="where the model lives: cpu, cuda, cuda:1, …")
    env: EnvConfig = Field(default_factory=EnvConfig, exclude=True)
    init_from: str = Field(default="", exclude=True)  # it is model.path
    model: ModelConfig = Field(default_factory=ModelConfig)
    base: BaseConfig = Field(default_factory=BaseConfig)
    task: TaskConfig = Field(default_factory=TaskConfig)
    sampling: SamplingConfig = Field(default_factory=SamplingConfig)
    eval: LanguageEvalConfig = Field(default_factory=LanguageEvalConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    save: LanguageSaveConfig = Field(default_factory=LanguageSaveConfig)  # pyright: ignore[reportIncompatibleVariableOverride]

    @model_validator(mode="before")
    @classmethod
    def _task_is_env(cls, data: Any) -> Any:
        task: Any = data.get("task") if isinstance(data, Mapping) else None
        name: Any = task.get("id", "") if isinstance(task, Mapping) else getattr(task, "id", "")
        return {**data, "env": {"id": name}} if isinstance(name, str) else data


class StepJudgeConfig(Section):
    """What judges the steps of completions, where algo.supervision is process or both."""

    outward: ClassVar[tuple[str, ...]] = ("model",)
    model: str = Field(
        default="",
        description="run folder or checkpoint of a process reward model; the task's own step reward if empty",
    )


class GRPORun(LanguageRun):
    """A run of GRPO or a relative."""

    papers: ClassVar[Mapping[str, Section]] = PRESETS
    algorithm: str = Field(default="grpo", description="name of the algorithm")
    total_steps: PositiveInt = Field(default=200, description="steps: each samples algo.prompts groups and learns")
    preset: Literal[tuple(PRESETS)] | None = Field(  # pyright: ignore[reportInvalidTypeForm]
        default=None, description="settings of a paper or a library, beneath your own"
    )
    algo: GRPOConfig = Field(default_factory=GRPOConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    process: StepJudgeConfig = Field(default_factory=StepJudgeConfig)


class SFTRun(LanguageRun):
    """A run of supervised fine-tuning."""

    unused: ClassVar[tuple[str, ...]] = (
        *LanguageRun.unused, "stop_at", "save.rollouts", "base.examples", "base.batch", "base.lr",
    )  # fmt: skip
    algorithm: str = Field(default="sft", description="name of the algorithm")
    total_steps: PositiveInt = Field(default=100_000, description="examples to learn from, repeats counted")
    algo: SFTConfig = Field(default_factory=SFTConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    save: SFTSaveConfig = Field(default_factory=SFTSaveConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


BY_REWARDS = ("task.timeout", "task.restarts", "task.restart_window")
"""The limits of worker processes in which a task's rewards run."""
BY_SAMPLES = ("stop_at", "eval.samples", "eval.deterministic", "eval.seed")
"""What asks for a return, or how a model is measured on a task: those that learn to judge have neither."""


class JudgedRun(LanguageRun):
    """A run that learns from a file of judged answers."""

    unused: ClassVar[tuple[str, ...]] = (
        *LanguageRun.unused, "base", "sampling", "task.options", "save.rollouts", *BY_SAMPLES, *BY_REWARDS,
    )  # fmt: skip
    total_steps: PositiveInt = Field(default=10_000, description="judgements to learn from, repeats counted")
    save: SFTSaveConfig = Field(default_factory=SFTSaveConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class RewardModelRun(JudgedRun):
    """A run of a reward model."""

    algorithm: str = Field(default="reward-model", description="name of the algorithm")
    algo: RewardModelConfig = Field(default_factory=RewardModelConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class ProcessRewardRun(JudgedRun):
    """A run of a process reward model."""

    unused: ClassVar[tuple[str, ...]] = (*LanguageRun.unused, *BY_SAMPLES, *BY_REWARDS)
    algorithm: str = Field(default="process-reward", description="name of the algorithm")
    algo: ProcessRewardConfig = Field(default_factory=ProcessRewardConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    save: LabelledSaveConfig = Field(default_factory=LabelledSaveConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class DPORun(JudgedRun):
    """A run of direct preference optimisation or a relative."""

    algorithm: str = Field(default="dpo", description="name of the algorithm")
    algo: DPOConfig = Field(default_factory=DPOConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class RewardConfig(Section):
    """The learnt reward."""

    outward: ClassVar[tuple[str, ...]] = ("path",)
    path: str = Field(
        default="", description="run folder or checkpoint of a reward model; the task's own rewards if empty"
    )
    offset: float = Field(default=0.0, description="subtracted from every score")


class RLHFRun(LanguageRun):
    """A run of PPO on a learnt reward."""

    algorithm: str = Field(default="rlhf", description="name of the algorithm")
    total_steps: PositiveInt = Field(default=200, description="steps: each samples algo.prompts prompts and learns")
    algo: RLHFConfig = Field(default_factory=RLHFConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    reward: RewardConfig = Field(default_factory=RewardConfig)


class ExpertIterationRun(LanguageRun):
    """A run of rejection sampling or expert iteration."""

    algorithm: str = Field(default="expert-iteration", description="name of the algorithm")
    total_steps: PositiveInt = Field(default=50, description="rounds: each samples, keeps what is good and imitates it")
    algo: ExpertIterationConfig = Field(default_factory=ExpertIterationConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


class ConstitutionalRun(LanguageRun):
    """A run of one stage of constitutional AI."""

    unused: ClassVar[tuple[str, ...]] = (*LanguageRun.unused, "base", "save.rollouts", *BY_SAMPLES)
    algorithm: str = Field(default="constitutional", description="name of the algorithm")
    total_steps: PositiveInt = Field(
        default=10_000, description="revisions or comparisons to learn from, repeats counted"
    )
    algo: ConstitutionalConfig = Field(default_factory=ConstitutionalConfig)  # pyright: ignore[reportIncompatibleVariableOverride]
    sft: SFTConfig = Field(default_factory=SFTConfig, description="how revisions are learnt")
    preference: SoftLabelConfig = Field(default_factory=SoftLabelConfig, description="how comparisons are learnt")
    save: SFTSaveConfig = Field(default_factory=SFTSaveConfig)  # pyright: ignore[reportIncompatibleVariableOverride]


RUNS: dict[str, type[LanguageRun]] = {
    "sft": SFTRun,
    "reward-model": RewardModelRun,
    "process-reward": ProcessRewardRun,
    "dpo": DPORun,
    "rlhf": RLHFRun,
    "grpo": GRPORun,
    "expert-iteration": ExpertIterationRun,
    "constitutional": ConstitutionalRun,
}
"""The config class of each algorithm that trains a language model."""
