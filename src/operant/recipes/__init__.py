"""The named systems of the literature, each one readable file: what it claims, and what becomes of that here.

    operant recipe list
    operant recipe show lqr
    operant recipe run lqr --seeds 3

From Python: `recipe(name)` gives one, `run(name)` runs it and returns its rows and verdicts.
"""

from typing import TYPE_CHECKING

from operant.config.face import face
from operant.recipes.claims import Claim, Rows, Verdict
from operant.recipes.recipe import Recipe, Trial
from operant.recipes.registry import RECIPES, recipe, standing

if TYPE_CHECKING:
    from operant.recipes.published import verify as verify
    from operant.recipes.runner import Result as Result
    from operant.recipes.runner import run as run

__all__ = ["RECIPES", "Claim", "Recipe", "Result", "Rows", "Trial", "Verdict", "recipe", "run", "standing", "verify"]

__getattr__, _ = face({"operant.recipes.published": "verify", "operant.recipes.runner": "Result run"})  # what trains
