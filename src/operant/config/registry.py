"""The registry: from an algorithm's name to its settings and its file, and from a policy's kind to its world.

Names only, imported when they are asked for, so that what is written here costs nothing and knows nothing. A new
algorithm is its own file, its settings, and a line here. An algorithm of your own needs no line: its name is
`file.py:build` or `module:build`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, get_type_hints

from operant.config.errors import ConfigError
from operant.config.schema import RunConfig
from operant.config.suggest import did_you_mean, nearest

CONTROL, TABULAR = "operant.control.settings.", "operant.tabular.settings.runs"
LANGUAGE, IN_WORLDS = "operant.language.settings.runs", "operant.language.settings.worlds"
GAMES, ROBOTS = "operant.games.settings", "operant.robots.settings"

ALGORITHMS: dict[str, tuple[str, str]] = {
    "natural-gradient": (CONTROL + "trust_region:NaturalGradientRun", "operant.control.natural_gradient"),
    "trpo": (CONTROL + "trust_region:TRPORun", "operant.control.trpo"),
    "ppo": (CONTROL + "ppo:PPORun", "operant.control.ppo"),
    "ppo-lagrangian": (CONTROL + "trust_region:LagrangianRun", "operant.control.ppo_lagrangian"),
    "gail": (CONTROL + "adversarial:GAILRun", "operant.control.imitation.gail"),
    "airl": (CONTROL + "adversarial:AIRLRun", "operant.control.imitation.airl"),
    "preference-ppo": (CONTROL + "preferences:PreferencePPORun", "operant.control.preferences.preference_ppo"),
    "reinforce": (CONTROL + "gradients:ReinforceRun", "operant.control.reinforce"),
    "actor-critic": (CONTROL + "gradients:ActorCriticRun", "operant.control.actor_critic"),
    "online-actor-critic": (CONTROL + "gradients:OnlineActorCriticRun", "operant.control.online_actor_critic"),
    "q-actor-critic": (CONTROL + "gradients:QActorCriticRun", "operant.control.q_actor_critic"),
    "a2c": (CONTROL + "gradients:A2CRun", "operant.control.a2c"),
    "a3c": (CONTROL + "gradients:A3CRun", "operant.control.a3c"),
    "impala": (CONTROL + "off_policy:ImpalaRun", "operant.control.impala"),
    "off-policy-actor-critic": (
        CONTROL + "off_policy:OffPolicyActorCriticRun",
        "operant.control.off_policy_actor_critic",
    ),
    "ddpg": (CONTROL + "continuous:DDPGRun", "operant.control.ddpg"),
    "td3": (CONTROL + "continuous:TD3Run", "operant.control.td3"),
    "sac": (CONTROL + "continuous:SACRun", "operant.control.sac"),
    "crossq": (CONTROL + "continuous:CrossQRun", "operant.control.crossq"),
    "discrete-sac": (CONTROL + "continuous:DiscreteSACRun", "operant.control.discrete_sac"),
    "pets": (CONTROL + "model_based:PETSRun", "operant.control.pets"),
    "dqn": (CONTROL + "values:DQNRun", "operant.control.dqn"),
    "c51": (CONTROL + "values:C51Run", "operant.control.dqn"),
    "qr-dqn": (CONTROL + "values:QRDQNRun", "operant.control.dqn"),
    "rainbow": (CONTROL + "values:RainbowRun", "operant.control.dqn"),
    "pqn": (CONTROL + "values:PQNRun", "operant.control.pqn"),
    "bc": (CONTROL + "imitation:BCRun", "operant.control.imitation.bc"),
    "dagger": (CONTROL + "imitation:DAggerRun", "operant.control.imitation.dagger"),
    "td3-bc": (CONTROL + "offline:TD3BCRun", "operant.control.offline.td3_bc"),
    "cql": (CONTROL + "offline:CQLRun", "operant.control.offline.cql"),
    "discrete-cql": (CONTROL + "offline:DiscreteCQLRun", "operant.control.offline.discrete_cql"),
    "iql": (CONTROL + "offline:IQLRun", "operant.control.offline.iql"),
    "decision-transformer": (
        CONTROL + "offline:DecisionTransformerRun",
        "operant.control.offline.decision_transformer",
    ),
    "alphazero": (GAMES, "operant.games.alphazero"),
    "adr": (ROBOTS, "operant.robots.adr"),
    "q-learning": (TABULAR, "operant.tabular.online"),
    "sarsa": (TABULAR, "operant.tabular.online"),
    "expected-sarsa": (TABULAR, "operant.tabular.online"),
    "double-q-learning": (TABULAR, "operant.tabular.online"),
    "n-step-sarsa": (TABULAR, "operant.tabular.online"),
    "tree-backup": (TABULAR, "operant.tabular.online"),
    "q-sigma": (TABULAR, "operant.tabular.online"),
    "sarsa-lambda": (TABULAR, "operant.tabular.online"),
    "true-online-sarsa": (TABULAR, "operant.tabular.online"),
    "watkins-q": (TABULAR, "operant.tabular.online"),
    "dyna-q": (TABULAR, "operant.tabular.online"),
    "dyna-q-plus": (TABULAR, "operant.tabular.online"),
    "prioritised-sweeping": (TABULAR, "operant.tabular.online"),
    "monte-carlo": (TABULAR, "operant.tabular.online"),
    "off-policy-monte-carlo": (TABULAR, "operant.tabular.online"),
    "linear-q-learning": (TABULAR, "operant.tabular.online_linear"),
    "linear-sarsa": (TABULAR, "operant.tabular.online_linear"),
    "sft": (LANGUAGE, "operant.language.learn.sft"),
    "reward-model": (LANGUAGE, "operant.language.learn.reward_model"),
    "process-reward": (LANGUAGE, "operant.language.learn.process_reward"),
    "dpo": (LANGUAGE, "operant.language.learn.dpo"),
    "rlhf": (LANGUAGE, "operant.language.learn.rlhf"),
    "grpo": (LANGUAGE, "operant.language.learn.grpo"),
    "expert-iteration": (LANGUAGE, "operant.language.learn.expert_iteration"),
    "constitutional": (LANGUAGE, "operant.language.learn.constitutional"),
    "loop": (IN_WORLDS, "operant.language.learn.loop"),
    "turn-ppo": (IN_WORLDS, "operant.language.learn.turn_ppo"),
    "clone": (IN_WORLDS, "operant.language.learn.clone"),
    "filtered-clone": (IN_WORLDS, "operant.language.learn.clone:build_filtered"),
}
"""Name → the class of the settings of its run, or the module whose `RUNS` has it, and the module with
`build(settings, env, say) → Job`."""

WORLDS: dict[str, str] = {
    "appworld": "operant.agents.adapters.appworld:make",
    "openenv": "operant.agents.adapters.openenv:make",
    "browsergym": "operant.agents.adapters.browsergym:make",
    "desk": "operant.agents.desk.world:make",
    "miniwob": "operant.agents.web.miniwob:make",
    "text": "operant.agents.text.world:make",
    "verifiers": "operant.agents.adapters.verifiers:make",
    "web": "operant.agents.web.sites.world:make",
    "web/ladder": "operant.agents.web.miniwob:make",
}
"""Worlds of many turns: name, or what stands before its first slash, → `module:make`, called with what stands behind
(`make(variant, **options)` returns an `operant.language.World`)."""

PICTURES: dict[str, str] = {
    "scene": "operant.vision.names:picture",
    "changed": "operant.vision.names:changed",
    "film": "operant.vision.names:frame",
    "seen": "operant.vision.names:seen",
    "figure": "operant.vision.names:figure",
    "screen": "operant.vision.names:screen",
    "room": "operant.recipes.rooms:picture",
    "page": "operant.recipes.seen_pages:picture",
}
"""Pictures that are made from their name: what stands before its colon → `module:function` of what stands behind."""

POLICIES: dict[str, str] = {
    "networks": "operant.control.stored",
    "return-conditioned": "operant.control.stored",
    "planner": "operant.control.stored",
    "table": "operant.tabular.stored",
    "tiles": "operant.tabular.stored",
    "language": "operant.language.stored",
    "board": "operant.games.stored",
}
"""Kind of policy → the module that reads it from a folder, and says what can be done with it (`operant.run.world`)."""


TRUST = "If it is code of your own: --trust (in Python, trust=True)."
"""What to do where a folder names code."""


OURS = (
    "operant.env.probe:", "operant.env.memory:", "operant.env.reach:", "operant.env.imitated:", "operant.env.minatar:",
)  # fmt: skip
"""What the names of environments begin with that are code, and ours."""


def is_code(name: str) -> bool:
    """Whether a name stands for Python code of somebody's own, `file.py:callable` or `module:callable`."""
    return ":" in name


def exchanged(algorithm: object, target: object) -> bool:
    """Whether an algorithm and what it trains on stand in each other's place."""
    if not isinstance(target, str) or (isinstance(algorithm, str) and algorithm in ALGORITHMS):
        return False
    if isinstance(algorithm, str) and nearest(algorithm, ALGORITHMS):  # it is mistyped
        return False
    return target in ALGORITHMS or (isinstance(algorithm, str) and not is_code(algorithm) and is_code(target))


def refuse_exchanged(algorithm: object, target: object, function: str) -> None:
    """Raises ConfigError with the right call of a function where they are."""
    if exchanged(algorithm, target):
        other = repr(algorithm) if isinstance(algorithm, str) else "env"
        raise ConfigError(f"{target!r} is an algorithm and comes first: {function}({target!r}, {other})")


def settings_of(algorithm: object) -> type[RunConfig]:
    """The settings of a run of an algorithm; of one of your own those that its `build` is annotated with.

    Raises:
        ConfigError: if there is none of that name; the nearest is suggested.
    """
    if isinstance(algorithm, str) and algorithm in ALGORITHMS:
        module, _, name = ALGORITHMS[algorithm][0].partition(":")
        return getattr(import_module(module), name) if name else import_module(module).RUNS[algorithm]
    if isinstance(algorithm, str) and is_code(algorithm):
        return _own_settings(algorithm)
    guess = did_you_mean(nearest(str(algorithm), ALGORITHMS))
    raise ConfigError(f"unknown algorithm {algorithm!r}.{guess} See `operant list algorithms`.")


def builder_of(algorithm: str) -> Callable[..., Any]:
    """`build(settings, env, say) → Job` of an algorithm."""
    if algorithm not in ALGORITHMS:
        return import_module("operant.run.own").guarded(algorithm, _own(algorithm))
    module, _, name = ALGORITHMS[algorithm][1].partition(":")
    return getattr(import_module(module), name or "build")


def all_settings() -> dict[str, type[RunConfig]]:
    """The settings of every algorithm, by name."""
    return {name: settings_of(name) for name in ALGORITHMS}


def listed(names: Iterable[str] = ALGORITHMS) -> str:
    """The algorithms, for a line of help."""
    return ", ".join(names)


def _own(name: str) -> Callable[..., Any]:
    """The function that a person's own algorithm is; importing it runs their file."""
    return import_module("operant.workers.resolve").own_code(name, "algorithm")


def _own_settings(name: str) -> type[RunConfig]:
    build = _own(name)
    first = next(iter(inspect.signature(build).parameters), "")
    try:
        hint = get_type_hints(build).get(first)
    except (NameError, TypeError) as error:
        raise ConfigError(f"{name}: its annotations cannot be read ({error})") from error
    if isinstance(hint, type) and issubclass(hint, RunConfig):
        return hint
    raise ConfigError(
        f"{name} does not say what its settings are. Annotate its first parameter with a class derived from "
        "operant.control.RunConfig, as in def build(cfg: MyRun, env, say) -> Job."
    )
