"""Language in reinforcement learning: rooms of things, and instructions that say which of them is meant."""

from typing import TYPE_CHECKING

from operant.config.face import face

if TYPE_CHECKING:
    from operant.grounded.instructions import Instruction as Instruction
    from operant.grounded.instructions import Language as Language
    from operant.grounded.instructions import Thing as Thing
    from operant.grounded.instructions import templates as templates
    from operant.grounded.instructions import vizdoom as vizdoom
    from operant.grounded.rooms import Rooms as Rooms
    from operant.grounded.rooms import room as room

__getattr__, __dir__ = face(
    {
        "operant.grounded.instructions": "Instruction Language Thing templates vizdoom",
        "operant.grounded.rooms": "Rooms room",
    }
)
