"""The named systems of the literature, each one readable file: what it claims, and what becomes of that here.

    operant recipe list
    operant recipe show lqr
    operant recipe run lqr --seeds 3

From Python: `recipe(name)` gives one, `run(name)` runs it and returns its rows and verdicts.
"""

from operant.recipes.claims import Claim, Rows, Verdict
from operant.recipes.recipe import Recipe, Trial
from operant.recipes.registry import RECIPES, recipe, standing
from operant.recipes.runner import Result, run, verify

__all__ = ["RECIPES", "Claim", "Recipe", "Result", "Rows", "Trial", "Verdict", "recipe", "run", "standing", "verify"]
