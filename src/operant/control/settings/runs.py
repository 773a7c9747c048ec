"""The settings of a run of each algorithm."""

from __future__ import annotations

from operant.config.schema import RunConfig
from operant.control.settings.adversarial import AIRLRun, GAILRun
from operant.control.settings.continuous import CrossQRun, DDPGRun, DiscreteSACRun, SACRun, TD3Run
from operant.control.settings.gradients import (
    A2CRun,
    A3CRun,
    ActorCriticRun,
    OnlineActorCriticRun,
    QActorCriticRun,
    ReinforceRun,
)
from operant.control.settings.imitation import BCRun, DAggerRun
from operant.control.settings.off_policy import ImpalaRun, OffPolicyActorCriticRun
from operant.control.settings.offline import CQLRun, DecisionTransformerRun, DiscreteCQLRun, IQLRun, TD3BCRun
from operant.control.settings.ppo import PPORun
from operant.control.settings.preferences import PreferencePPORun
from operant.control.settings.trust_region import LagrangianRun, NaturalGradientRun, TRPORun
from operant.control.settings.values import C51Run, DQNRun, PQNRun, QRDQNRun, RainbowRun

RUNS: dict[str, type[RunConfig]] = {
    "natural-gradient": NaturalGradientRun,
    "trpo": TRPORun,
    "reinforce": ReinforceRun,
    "actor-critic": ActorCriticRun,
    "online-actor-critic": OnlineActorCriticRun,
    "q-actor-critic": QActorCriticRun,
    "a2c": A2CRun,
    "a3c": A3CRun,
    "impala": ImpalaRun,
    "off-policy-actor-critic": OffPolicyActorCriticRun,
    "ppo": PPORun,
    "ppo-lagrangian": LagrangianRun,
    "preference-ppo": PreferencePPORun,
    "gail": GAILRun,
    "airl": AIRLRun,
    "ddpg": DDPGRun,
    "td3": TD3Run,
    "sac": SACRun,
    "crossq": CrossQRun,
    "discrete-sac": DiscreteSACRun,
    "dqn": DQNRun,
    "c51": C51Run,
    "qr-dqn": QRDQNRun,
    "rainbow": RainbowRun,
    "pqn": PQNRun,
    "bc": BCRun,
    "dagger": DAggerRun,
    "td3-bc": TD3BCRun,
    "cql": CQLRun,
    "discrete-cql": DiscreteCQLRun,
    "iql": IQLRun,
    "decision-transformer": DecisionTransformerRun,
}
"""The settings of a run of each algorithm."""
