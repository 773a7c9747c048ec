"""Language models as policies: text, models, sampling, episodes, learning and serving, each in a room below."""

from typing import TYPE_CHECKING

from operant.config.face import face

if TYPE_CHECKING:
    from operant.language.episodes.runner import Runner as Runner
    from operant.language.episodes.world import Observation as Observation
    from operant.language.episodes.world import Scenario as Scenario
    from operant.language.episodes.world import Session as Session
    from operant.language.episodes.world import World as World
    from operant.language.episodes.world import load_world as load_world
    from operant.language.learn.critiques import demonstrations as demonstrations
    from operant.language.learn.critiques import labelled as labelled
    from operant.language.learn.critiques import preferences as preferences
    from operant.language.learn.critiques import revise as revise
    from operant.language.learn.dpo import dpo as dpo
    from operant.language.learn.group_critic import group_advantages as group_advantages
    from operant.language.learn.grpo import grpo as grpo
    from operant.language.learn.grpo_loss import group_loss as group_loss
    from operant.language.learn.grpo_loss import reduction as reduction
    from operant.language.learn.kl_controller import KLController as KLController
    from operant.language.learn.loop import loop as loop
    from operant.language.learn.multi_reward import RewardMatrix as RewardMatrix
    from operant.language.learn.principles import PRINCIPLES as PRINCIPLES
    from operant.language.learn.principles import Principle as Principle
    from operant.language.learn.reference import pairs_with_reference as pairs_with_reference
    from operant.language.learn.reward_model import reward_model as reward_model
    from operant.language.learn.reward_scorer import RewardScorer as RewardScorer
    from operant.language.learn.reward_scorer import critic_from as critic_from
    from operant.language.learn.rlhf import rlhf as rlhf
    from operant.language.learn.rlhf import token_rewards as token_rewards
    from operant.language.learn.sft import sft as sft
    from operant.language.learn.turn_ppo import turn_ppo as turn_ppo
    from operant.language.model.fresh import fresh as fresh
    from operant.language.model.language_model import LanguageModel as LanguageModel
    from operant.language.model.language_model import Scalar as Scalar
    from operant.language.sample.engine import Completion as Completion
    from operant.language.sample.engine import Engine as Engine
    from operant.language.sample.engine import Prompt as Prompt
    from operant.language.sample.engine import Sampling as Sampling
    from operant.language.serve.client import Client as Client
    from operant.language.serve.gateway import Gateway as Gateway
    from operant.language.serve.http import Server as Server
    from operant.language.serve.http import served as served
    from operant.language.serve.judge import Judge as Judge
    from operant.language.serve.judge import JudgeError as JudgeError
    from operant.language.serve.judge import asking as asking
    from operant.language.serve.judge import read_score as read_score
    from operant.language.settings.grpo import PRESETS as PRESETS
    from operant.language.settings.grpo import GRPOConfig as GRPOConfig
    from operant.language.settings.learning import DPOConfig as DPOConfig
    from operant.language.settings.learning import RewardModelConfig as RewardModelConfig
    from operant.language.settings.learning import SFTConfig as SFTConfig
    from operant.language.settings.rlhf import ConstitutionalConfig as ConstitutionalConfig
    from operant.language.settings.rlhf import RLHFConfig as RLHFConfig
    from operant.language.settings.runs import BaseConfig as BaseConfig
    from operant.language.settings.runs import DPORun as DPORun
    from operant.language.settings.runs import GRPORun as GRPORun
    from operant.language.settings.runs import RewardModelRun as RewardModelRun
    from operant.language.settings.runs import SFTRun as SFTRun
    from operant.language.settings.worlds import LOOP_PRESETS as LOOP_PRESETS
    from operant.language.settings.worlds import EpisodeConfig as EpisodeConfig
    from operant.language.settings.worlds import LoopConfig as LoopConfig
    from operant.language.settings.worlds import TurnPPOConfig as TurnPPOConfig
    from operant.language.text.conversation import Encoded as Encoded
    from operant.language.text.conversation import Encoder as Encoder
    from operant.language.text.conversation import check_template as check_template
    from operant.language.text.epochs import Shuffled as Shuffled
    from operant.language.text.packing import packed as packed
    from operant.language.text.packing import padded as padded
    from operant.language.text.pairs import Pair as Pair

__getattr__, __dir__ = face(
    {
        "operant.language.episodes.runner": "Runner",
        "operant.language.episodes.world": "Observation Scenario Session World load_world",
        "operant.language.learn.critiques": "demonstrations labelled preferences revise",
        "operant.language.learn.dpo": "dpo",
        "operant.language.learn.group_critic": "group_advantages",
        "operant.language.learn.grpo": "grpo",
        "operant.language.learn.grpo_loss": "group_loss reduction",
        "operant.language.learn.loop": "loop",
        "operant.language.learn.turn_ppo": "turn_ppo",
        "operant.language.learn.kl_controller": "KLController",
        "operant.language.learn.multi_reward": "RewardMatrix",
        "operant.language.learn.principles": "PRINCIPLES Principle",
        "operant.language.learn.reference": "pairs_with_reference",
        "operant.language.learn.reward_model": "reward_model",
        "operant.language.learn.reward_scorer": "RewardScorer critic_from",
        "operant.language.learn.rlhf": "rlhf token_rewards",
        "operant.language.learn.sft": "sft",
        "operant.language.model.fresh": "fresh",
        "operant.language.model.language_model": "LanguageModel Scalar",
        "operant.language.sample.engine": "Completion Engine Prompt Sampling",
        "operant.language.serve.client": "Client",
        "operant.language.serve.gateway": "Gateway",
        "operant.language.serve.http": "Server served",
        "operant.language.serve.judge": "Judge JudgeError asking read_score",
        "operant.language.settings.grpo": "GRPOConfig PRESETS",
        "operant.language.settings.learning": "DPOConfig RewardModelConfig SFTConfig",
        "operant.language.settings.rlhf": "ConstitutionalConfig RLHFConfig",
        "operant.language.settings.runs": "BaseConfig DPORun GRPORun RewardModelRun SFTRun",
        "operant.language.settings.worlds": "EpisodeConfig LOOP_PRESETS LoopConfig TurnPPOConfig",
        "operant.language.text.conversation": "Encoded Encoder check_template",
        "operant.language.text.epochs": "Shuffled",
        "operant.language.text.packing": "packed padded",
        "operant.language.text.pairs": "Pair",
    }
)
