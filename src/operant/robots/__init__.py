"""Robots: worlds that are drawn anew in every episode, by hand-set ranges or by ranges that grow with the policy."""

from typing import TYPE_CHECKING

from operant.config.face import face

if TYPE_CHECKING:
    from operant.config.randomise import PARAMETERS as PARAMETERS
    from operant.config.randomise import Range as Range
    from operant.config.randomise import ranges as ranges
    from operant.robots.adr import ADR as ADR
    from operant.robots.adr import Drawn as Drawn
    from operant.robots.batched import BatchedRobot as BatchedRobot
    from operant.robots.batched import hopper as hopper
    from operant.robots.batched import quadrotor as quadrotor
    from operant.robots.batched import swing_up as swing_up
    from operant.robots.bounds import Bounds as Bounds
    from operant.robots.bounds import Pin as Pin
    from operant.robots.bounds import replay as replay
    from operant.robots.cube import Cube as Cube
    from operant.robots.identification import Identified as Identified
    from operant.robots.identification import Window as Window
    from operant.robots.identification import identify as identify
    from operant.robots.identification import windows as windows
    from operant.robots.legs.env import Legged as Legged
    from operant.robots.legs.env import ant as ant
    from operant.robots.legs.env import biped as biped
    from operant.robots.legs.env import g1 as g1
    from operant.robots.legs.env import go2 as go2
    from operant.robots.legs.env import legged as legged
    from operant.robots.legs.rewards import TERMS as TERMS
    from operant.robots.legs.rewards import Moment as Moment
    from operant.robots.legs.settings import LeggedConfig as LeggedConfig
    from operant.robots.legs.settings import legged_config as legged_config
    from operant.robots.randomisation import Randomised as Randomised
    from operant.robots.randomisation import Source as Source
    from operant.robots.randomisation import Uniform as Uniform
    from operant.robots.settings import ADRConfig as ADRConfig
    from operant.robots.settings import ADRRun as ADRRun
    from operant.robots.simulator import Simulator as Simulator
    from operant.robots.turner import Turner as Turner

__getattr__, __dir__ = face(
    {
        "operant.config.randomise": "PARAMETERS Range ranges",
        "operant.robots.adr": "ADR Drawn",
        "operant.robots.batched": "BatchedRobot hopper quadrotor swing_up",
        "operant.robots.bounds": "Bounds Pin replay",
        "operant.robots.cube": "Cube",
        "operant.robots.identification": "Identified Window identify windows",
        "operant.robots.legs.env": "Legged ant biped g1 go2 legged",
        "operant.robots.legs.rewards": "TERMS Moment",
        "operant.robots.legs.settings": "LeggedConfig legged_config",
        "operant.robots.randomisation": "Randomised Source Uniform",
        "operant.robots.settings": "ADRConfig ADRRun",
        "operant.robots.simulator": "Simulator",
        "operant.robots.turner": "Turner",
    }
)
