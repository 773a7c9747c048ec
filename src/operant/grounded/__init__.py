"""Language in reinforcement learning: worlds in which something is said, and rewards that are made of language."""

from typing import TYPE_CHECKING

from operant.config.face import face

if TYPE_CHECKING:
    from operant.grounded.asked import Asked as Asked
    from operant.grounded.blocks import Blocks as Blocks
    from operant.grounded.blocks import goal_states as goal_states
    from operant.grounded.clips import CaptionReward as CaptionReward
    from operant.grounded.clips import ClipModel as ClipModel
    from operant.grounded.clips import contrastive as contrastive
    from operant.grounded.clips import fit_clips as fit_clips
    from operant.grounded.field import Field as Field
    from operant.grounded.field import field_clips as field_clips
    from operant.grounded.flights import Game as Game
    from operant.grounded.flights import Round as Round
    from operant.grounded.flights import grammar as grammar
    from operant.grounded.flights import people as people
    from operant.grounded.goal_reward import GoalNetwork as GoalNetwork
    from operant.grounded.goal_reward import GoalReward as GoalReward
    from operant.grounded.houses import House as House
    from operant.grounded.houses import house as house
    from operant.grounded.instructions import Instruction as Instruction
    from operant.grounded.instructions import Language as Language
    from operant.grounded.instructions import Thing as Thing
    from operant.grounded.instructions import templates as templates
    from operant.grounded.instructions import vizdoom as vizdoom
    from operant.grounded.judging import Trained as Trained
    from operant.grounded.judging import cloned as cloned
    from operant.grounded.judging import ends_well as ends_well
    from operant.grounded.judging import judged as judged
    from operant.grounded.judging import prepared as prepared
    from operant.grounded.language_reward import LanguageReward as LanguageReward
    from operant.grounded.language_reward import Task as Task
    from operant.grounded.language_reward import fit as fit
    from operant.grounded.language_reward import planned as planned
    from operant.grounded.language_reward import slopes as slopes
    from operant.grounded.messenger import Messenger as Messenger
    from operant.grounded.moves import Moves as Moves
    from operant.grounded.pacman import Pacman as Pacman
    from operant.grounded.pacman import imitate as imitate
    from operant.grounded.pacman import reinforce as reinforce
    from operant.grounded.pacman import walk as walk
    from operant.grounded.pragmatic import Grounding as Grounding
    from operant.grounded.pragmatic import Posterior as Posterior
    from operant.grounded.pragmatic import pragmatic_speaker as pragmatic_speaker
    from operant.grounded.pragmatic import prior as prior
    from operant.grounded.pragmatic import teach as teach
    from operant.grounded.quest import Manual as Manual
    from operant.grounded.reading import reader as reader
    from operant.grounded.relatedness import Relatedness as Relatedness
    from operant.grounded.relatedness import Shaped as Shaped
    from operant.grounded.relatedness import auc as auc
    from operant.grounded.relatedness import fit_relatedness as fit_relatedness
    from operant.grounded.rooms import Rooms as Rooms
    from operant.grounded.rooms import room as room
    from operant.grounded.screens import Screens as Screens
    from operant.grounded.screens import clip as clip
    from operant.grounded.screens import told as told
    from operant.grounded.tidy import Errand as Errand
    from operant.grounded.tidy import Tidied as Tidied
    from operant.grounded.tidy import errand_view as errand_view

__getattr__, __dir__ = face(
    {
        "operant.grounded.asked": "Asked",
        "operant.grounded.blocks": "Blocks goal_states",
        "operant.grounded.clips": "CaptionReward ClipModel contrastive fit_clips",
        "operant.grounded.field": "Field field_clips",
        "operant.grounded.flights": "Game Round grammar people",
        "operant.grounded.goal_reward": "GoalNetwork GoalReward",
        "operant.grounded.houses": "House house",
        "operant.grounded.instructions": "Instruction Language Thing templates vizdoom",
        "operant.grounded.judging": "Trained cloned ends_well judged prepared",
        "operant.grounded.language_reward": "LanguageReward Task fit planned slopes",
        "operant.grounded.messenger": "Messenger",
        "operant.grounded.moves": "Moves",
        "operant.grounded.pacman": "Pacman imitate reinforce walk",
        "operant.grounded.pragmatic": "Grounding Posterior pragmatic_speaker prior teach",
        "operant.grounded.quest": "Manual",
        "operant.grounded.reading": "reader",
        "operant.grounded.relatedness": "Relatedness Shaped auc fit_relatedness",
        "operant.grounded.rooms": "Rooms room",
        "operant.grounded.screens": "Screens clip told",
        "operant.grounded.tidy": "Errand Tidied errand_view",
    }
)
