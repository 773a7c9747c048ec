"""What every recipe says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from operant.recipes.claims import Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One arm on one seed.

    Attributes:
        arm: which.
        seed: of everything that is drawn.
        folder: an empty one; run folders go here.
        miniature: whether it has to end in seconds: everything is smaller, nothing is left out.
        model: a model's folder or name in place of the small one, where the recipe takes one.
        say: given a line for the person who waits.
    """

    arm: str
    seed: int
    folder: Path
    miniature: bool = False
    model: str | None = None
    say: Callable[[str], None] = field(default=lambda _: None)


Numbers = Mapping[str, float]
"""What a trial measured, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A named system: what the paper did, what is done here, and the claims, fixed before the run.

    Attributes:
        name: as the command line has it.
        title: as a reader knows it.
        source: the paper, with its identifier.
        paper: what it did, at which scale, and what came of it.
        here: the smallest faithful world, model and data; what is small is said to be.
        mechanism: what makes it that paper; a test shows that the gradient or the decision differs without.
        arms: what is compared, by name, in words.
        controls: the arms that are controls (inputs shuffled, rewards shuffled, mechanism off).
        claims: what is tested.
        trial: runs an arm on a seed, and returns what it measured.
        seeds: of a whole run.
        minutes: of two cores, that a whole run may take.
        takes_model: whether a model of the hub's format can take the place of the small one.
    """

    name: str
    title: str
    source: str
    paper: str
    here: str
    mechanism: str
    arms: Mapping[str, str]
    claims: tuple[Claim, ...]
    trial: Callable[[Trial], Numbers]
    controls: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (1, 2, 3)
    minutes: float = 10.0
    takes_model: bool = False

    def __post_init__(self) -> None:
        """Hold its parts against each other: a claim on an arm that is none is a mistake of whoever wrote it."""
        named = {x for claim in self.claims for x in (claim.arm, claim.over) if x is not None} | {*self.controls}
        if missing := named - self.arms.keys():
            raise ValueError(f"recipe {self.name} speaks of arms that it has not: {', '.join(sorted(missing))}")
