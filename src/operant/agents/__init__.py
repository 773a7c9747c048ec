"""Worlds of many turns, which an untrained or a trained agent acts in by what it says."""

from typing import TYPE_CHECKING

from operant.config.face import face

if TYPE_CHECKING:
    from operant.agents.adapters.appworld import AppWorld as AppWorld
    from operant.agents.adapters.openenv import OpenEnv as OpenEnv
    from operant.agents.adapters.verifiers import Verifiers as Verifiers
    from operant.agents.desk.world import DeskWorld as DeskWorld
    from operant.agents.goals import completion as completion
    from operant.agents.goals import judge as judge
    from operant.agents.harness.agents import AGENTS as AGENTS
    from operant.agents.harness.agents import Majority as Majority
    from operant.agents.harness.agents import PlanActReflect as PlanActReflect
    from operant.agents.harness.agents import Reflexion as Reflexion
    from operant.agents.harness.agents import TreeSearch as TreeSearch
    from operant.agents.harness.agents import play as play
    from operant.agents.harness.agents import turns as turns
    from operant.agents.harness.episode import Episode as Episode
    from operant.agents.harness.episode import Form as Form
    from operant.agents.harness.models import Local as Local
    from operant.agents.harness.models import Read as Read
    from operant.agents.harness.models import Served as Served
    from operant.agents.store import Change as Change
    from operant.agents.text.calculator import Calculator as Calculator
    from operant.agents.text.grid import Grid as Grid
    from operant.agents.text.quests import Quests as Quests
    from operant.agents.web.sites.attacks import attack_rates as attack_rates
    from operant.agents.web.sites.world import Sites as Sites
    from operant.workers.sandbox import Limits as Limits
    from operant.workers.sandbox import Refused as Refused
    from operant.workers.sandbox import Sandbox as Sandbox

__getattr__, __dir__ = face(
    {
        "operant.agents.adapters.appworld": "AppWorld",
        "operant.agents.adapters.openenv": "OpenEnv",
        "operant.agents.adapters.verifiers": "Verifiers",
        "operant.agents.goals": "completion judge",
        "operant.agents.store": "Change",
        "operant.agents.desk.world": "DeskWorld",
        "operant.agents.harness.agents": "AGENTS Majority PlanActReflect Reflexion TreeSearch play turns",
        "operant.agents.harness.episode": "Episode Form",
        "operant.agents.harness.models": "Local Read Served",
        "operant.agents.text.calculator": "Calculator",
        "operant.agents.text.grid": "Grid",
        "operant.agents.text.quests": "Quests",
        "operant.agents.web.sites.attacks": "attack_rates",
        "operant.agents.web.sites.world": "Sites",
        "operant.workers.sandbox": "Limits Refused Sandbox",
    }
)
