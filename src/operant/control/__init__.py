"""Control by deep reinforcement learning: networks, policies, the collector, PPO; and what your own algorithm needs."""

from typing import TYPE_CHECKING

from operant.config.face import face

if TYPE_CHECKING:
    from operant.config.schema import RunConfig as RunConfig
    from operant.config.schema import Section as Section
    from operant.control.acting import sampler as sampler
    from operant.control.agent import Agent as Agent
    from operant.control.agent import AgentSpec as AgentSpec
    from operant.control.collector import Collector as Collector
    from operant.control.offline.evaluation import FQE as FQE
    from operant.control.offline.evaluation import Estimate as Estimate
    from operant.control.offline.evaluation import evaluate_from_data as evaluate_from_data
    from operant.control.settings.adversarial import AIRLConfig as AIRLConfig
    from operant.control.settings.adversarial import AIRLRun as AIRLRun
    from operant.control.settings.adversarial import GAILConfig as GAILConfig
    from operant.control.settings.adversarial import GAILRun as GAILRun
    from operant.control.settings.continuous import CrossQConfig as CrossQConfig
    from operant.control.settings.continuous import CrossQRun as CrossQRun
    from operant.control.settings.continuous import DDPGConfig as DDPGConfig
    from operant.control.settings.continuous import DDPGRun as DDPGRun
    from operant.control.settings.continuous import DiscreteSACConfig as DiscreteSACConfig
    from operant.control.settings.continuous import DiscreteSACRun as DiscreteSACRun
    from operant.control.settings.continuous import SACConfig as SACConfig
    from operant.control.settings.continuous import SACRun as SACRun
    from operant.control.settings.continuous import TD3Config as TD3Config
    from operant.control.settings.continuous import TD3Run as TD3Run
    from operant.control.settings.data import DataConfig as DataConfig
    from operant.control.settings.data import DataRun as DataRun
    from operant.control.settings.imitation import BCConfig as BCConfig
    from operant.control.settings.imitation import BCRun as BCRun
    from operant.control.settings.imitation import DAggerConfig as DAggerConfig
    from operant.control.settings.imitation import DAggerRun as DAggerRun
    from operant.control.settings.policy import ControlRun as ControlRun
    from operant.control.settings.ppo import PPOConfig as PPOConfig
    from operant.control.settings.ppo import PPORun as PPORun
    from operant.control.settings.preferences import PreferencePPORun as PreferencePPORun
    from operant.control.settings.preferences import PreferencesConfig as PreferencesConfig
    from operant.control.settings.replay import ReplayConfig as ReplayConfig
    from operant.control.settings.replay import ReplayRun as ReplayRun
    from operant.control.settings.trust_region import LagrangianConfig as LagrangianConfig
    from operant.control.settings.trust_region import LagrangianRun as LagrangianRun
    from operant.control.settings.trust_region import NaturalGradientConfig as NaturalGradientConfig
    from operant.control.settings.trust_region import NaturalGradientRun as NaturalGradientRun
    from operant.control.settings.trust_region import TRPOConfig as TRPOConfig
    from operant.control.settings.trust_region import TRPORun as TRPORun
    from operant.control.settings.values import DQNConfig as DQNConfig
    from operant.control.settings.values import DQNRun as DQNRun
    from operant.control.settings.values import PQNConfig as PQNConfig
    from operant.control.settings.values import PQNRun as PQNRun
    from operant.control.settings.values import RainbowConfig as RainbowConfig
    from operant.control.settings.values import RainbowRun as RainbowRun
    from operant.control.setup import OnPolicy as OnPolicy
    from operant.control.setup import on_policy as on_policy
    from operant.control.setup_data import FromData as FromData
    from operant.control.setup_data import from_data as from_data
    from operant.control.setup_off_policy import OffPolicy as OffPolicy
    from operant.control.setup_off_policy import off_policy as off_policy
    from operant.control.train_state import Networks as Networks
    from operant.data.replay import Replay as Replay
    from operant.data.replay import Transitions as Transitions
    from operant.data.streams import Streams as Streams
    from operant.data.trajectory import flatten as flatten
    from operant.data.trajectory import minibatches as minibatches
    from operant.run.evaluate import Evaluator as Evaluator
    from operant.run.evaluate import evaluate as evaluate
    from operant.run.job import Job as Job

__getattr__, __dir__ = face(
    {
        "operant.config.schema": "RunConfig Section",
        "operant.control.acting": "sampler",
        "operant.control.agent": "Agent AgentSpec",
        "operant.control.collector": "Collector",
        "operant.control.offline.evaluation": "FQE Estimate evaluate_from_data",
        "operant.control.setup_off_policy": "OffPolicy off_policy",
        "operant.control.setup": "OnPolicy on_policy",
        "operant.control.settings.adversarial": "AIRLConfig AIRLRun GAILConfig GAILRun",
        "operant.control.settings.continuous": (
            "CrossQConfig CrossQRun DDPGConfig DDPGRun DiscreteSACConfig DiscreteSACRun "
            "SACConfig SACRun TD3Config TD3Run"
        ),
        "operant.control.settings.data": "DataConfig DataRun",
        "operant.control.settings.imitation": "BCConfig BCRun DAggerConfig DAggerRun",
        "operant.control.setup_data": "FromData from_data",
        "operant.control.settings.policy": "ControlRun",
        "operant.control.settings.ppo": "PPOConfig PPORun",
        "operant.control.settings.preferences": "PreferencePPORun PreferencesConfig",
        "operant.control.settings.replay": "ReplayConfig ReplayRun",
        "operant.control.settings.trust_region": (
            "LagrangianConfig LagrangianRun NaturalGradientConfig NaturalGradientRun TRPOConfig TRPORun"
        ),
        "operant.control.settings.values": "DQNConfig DQNRun PQNConfig PQNRun RainbowConfig RainbowRun",
        "operant.control.train_state": "Networks",
        "operant.data.replay": "Replay Transitions",
        "operant.data.streams": "Streams",
        "operant.data.trajectory": "flatten minibatches",
        "operant.run.evaluate": "Evaluator evaluate",
        "operant.run.job": "Job",
    }
)
