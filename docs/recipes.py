"""Write docs/recipes/: a page for each recipe from what it says of itself and its published rows, their index, a
summary of those of models that see, and a taxonomy of those of language.

    python docs/recipes.py [FOLDER ...]

With folders of runs (`runs/recipe-NAME`) their results are published first: copied beside the recipes.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from html import escape
from importlib import import_module
from itertools import groupby
from pathlib import Path

from operant.recipes import RECIPES, recipe
from operant.recipes.claims import Claim, Verdict
from operant.recipes.page import interval, page
from operant.recipes.published import STORED, published
from operant.recipes.recipe import Recipe
from operant.recipes.registry import LANGUAGE, standing
from operant.recipes.seeing import Arm, Study

PAGES = Path(__file__).resolve().parent / "recipes"
SUMMARY, TAXONOMY, LIMITS = "models-that-see", "language-in-rl", "agents-without-training"
ADDED = ("react", "plan-act-reflect", "reflexion", "web-search-tree")
"""Recipes of agents without training."""


def index() -> str:
    """Every name of the lectures, and what became of the claims of those that run."""
    lines = [
        "# Recipes",
        "",
        "The named systems of the literature, each one readable file: what it claims, and what became",
    ]
    lines += [
        "of that here. `operant recipe run NAME` runs one. Those of models that see are",
        "[on one page](models-that-see.md), paper by paper; those of language",
        "[on another](language-in-rl.md), by what language does there.",
        "",
        "| recipe | claims that must hold | open questions |",
        "|---|---|---|",
    ]
    for name in RECIPES:
        its = recipe(name)
        rows, _ = published(its)
        said = [(claim.must, claim.verdict(rows, its.seeds).says) for claim in its.claims]
        must, asked = ([says for needed, says in said if needed is kind] for kind in (True, False))
        held = "not yet run" if "not yet run" in must else f"{must.count('holds')} of {len(must)} hold"
        lines.append(f"| [{its.title}]({name}.md) | {held} | {', '.join(asked)} |")
    others = [(name, kind, about) for name, kind, about in standing() if kind != "recipe"]
    if others:
        lines += [
            "",
            "| name | | |",
            "|---|---|---|",
            *(f"| {name} | {kind} | {about} |" for name, kind, about in others),
        ]
    lines += ["", "```{toctree}", ":hidden:", "", SUMMARY, TAXONOMY, LIMITS, *RECIPES, "```", ""]
    return "\n".join(lines)


Row = tuple[Recipe, Study, Claim, Verdict]
"""A claim of a recipe of models that see."""


def seen() -> Iterator[Row]:
    """Every claim of every recipe of models that see, and what became of it."""
    for name in RECIPES:
        its = recipe(name)
        study = getattr(import_module(its.trial.__module__), "STUDY", None)
        if isinstance(study, Study):
            rows, _ = published(its)
            yield from ((its, study, claim, claim.verdict(rows, its.seeds)) for claim in its.claims)


def rewarded(arm: Arm) -> bool:
    """Whether an arm ends by learning from rewards."""
    return bool(arm.stages) and arm.stages[-1].algorithm != "sft"


def thinking(row: Row) -> bool:
    """Whether a claim holds an arm that thinks first against one that does not, both rewarded."""
    _, study, claim, _ = row
    pair = [study.arms[name] for name in (claim.arm, claim.over) if name is not None]
    modes = {{**study.asked, **arm.asked}.get("mode", "direct") for arm in pair}
    return len(modes) == 2 and all(map(rewarded, pair))


def against_imitation(row: Row) -> bool:
    """Whether a claim holds rewards against imitation out of the split that both learnt from."""
    _, study, claim, _ = row
    over = study.arms[claim.over] if claim.over is not None else Arm("")
    imitates = bool(over.stages) and not rewarded(over)
    return claim.metric.startswith("out") and imitates and rewarded(study.arms[claim.arm])


def summary() -> dict[str, str]:
    """The page of models that see, and its picture."""
    found = [*seen()]
    lines = [
        "# Models that see: what each paper claims, and what became of it here",
        "",
        "The papers' models have billions of parameters and were taught by the web; these have half a million, and",
        "see pictures of 32 pixels. What is said here is said of that scale. Claims were fixed before the runs; an",
        "open question is answered where its whole interval lies on one side of the bar, and null where it crosses it.",
    ]
    ran = any(verdict.estimate is not None for *_, verdict in found)
    if ran:
        lines += ["", f"![Claims that have run, each with its bar and its interval]({SUMMARY}.svg)"]
    for title, chosen in (
        ("When does thinking help?", [row for row in found if thinking(row)]),
        ("When does learning from rewards beat imitation, out of its split?", [*filter(against_imitation, found)]),
    ):
        lines += ["", f"## {title}", "", "| recipe | question | answer | difference [95 %] |", "|---|---|---|--:|"]
        lines += [f"| [{its.name}]({its.name}.md) {_cells(claim, verdict)}" for its, _, claim, verdict in chosen]
    lines += ["", "## Paper by paper"]
    for its, claims in groupby(found, key=lambda row: row[0]):
        lines += ["", f"### [{its.title}]({its.name}.md)", "", its.paper, ""]
        lines += ["| here | kind | verdict | estimate [95 %] |", "|---|---|---|--:|"]
        for _, _, claim, verdict in claims:
            text, *rest = _cells(claim, verdict).removeprefix("| ").split(" | ")
            lines.append(" | ".join([f"| {text}", "must hold" if claim.must else "open", *rest]))
    return {f"{SUMMARY}.md": "\n".join([*lines, ""])} | ({f"{SUMMARY}.svg": picture(found)} if ran else {})


def _cells(claim: Claim, verdict: Verdict) -> str:
    number = interval(verdict.estimate, verdict.low, verdict.high)
    return f"| {claim.text} ({'≤' if claim.most else '≥'} {claim.bar:g}) | {verdict.says} | {number} |"


def picture(found: list[Row]) -> str:
    """A line for each claim that has run: its interval, and its bar in the middle; one unit is half the width."""
    ran = [(its, claim, v) for its, _, claim, v in found if v.estimate is not None]
    left, wide, high = 560, 300, 22
    size = f'width="{left + wide + 20}" height="{high * (len(ran) + 1)}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">']
    for i, (its, claim, verdict) in enumerate(ran):
        y, colour = high * (i + 1), {"holds": "#1b7837", "fails": "#b2182b"}.get(verdict.says, "#666666")
        low, middle, up = (
            left + wide / 2 * (1 + max(-1.0, min(1.0, (x or 0.0) - claim.bar)))
            for x in (verdict.low, verdict.estimate, verdict.high)
        )
        lines += [
            f'<text x="4" y="{y + 4}">{escape(its.name)}: {escape(claim.text)}</text>',
            f'<path d="M{left + wide / 2:.1f} {y - 9}v18" stroke="#bbbbbb"/>',
            f'<path d="M{low:.1f} {y}H{up:.1f}" stroke="{colour}" stroke-width="3"/>',
            f'<circle cx="{middle:.1f}" cy="{y}" r="4" fill="{colour}"/>',
        ]
    return "\n".join([*lines, "</svg>", ""])


SECTIONS = {
    "instructions": ("Language-conditional: instructions", "The text says what the task is, and a policy follows it."),
    "rewards": ("Language-conditional: rewards from language", "The text says what is good, and something learns, or "
                "plans, for what it says."),
    "interface": ("Language-conditional: language in observations and actions", "Words are part of what is seen, or of "
                  "what is done."),
    "knowledge": ("Language-assisted: what is known of a domain", "The text says how a world works; the task could be "
                  "done without it, by trying."),
    "beside": ("Beside language", "Named with these systems in the lectures; nothing is said there."),
}  # fmt: skip


def taxonomy() -> str:
    """Recipes of language by what language does in them."""
    lines = [
        "# Language in reinforcement learning: what it does",
        "",
        "A survey (Luketina et al. 2019, A survey of reinforcement learning informed by natural language,",
        "arXiv:1906.03926) asks of each system whether language is part of the task (conditional) or helps with it",
        "(assisted), and whether the text is about the task or about the world. Here each recipe has its place.",
    ]
    for section, (title, what) in SECTIONS.items():
        lines += ["", f"## {title}", "", what, "", "| recipe | text | how it enters | must hold |", "|---|---|---|---|"]
        for name in (name for name, (where, *_) in LANGUAGE.items() if where == section):
            _, text, how = LANGUAGE[name]
            its = recipe(name)
            says = [claim.verdict(published(its)[0], its.seeds).says for claim in its.claims if claim.must]
            held = "not yet run" if "not yet run" in says else f"{says.count('holds')} of {len(says)}"
            lines.append(f"| [{its.title}]({name}.md) | {text} | {how} | {held} |")
    return "\n".join([*lines, ""])


def limits() -> str:
    """What agents add to a model without training, and what training adds: the differences that are published."""
    lines = [
        "# Agents without training: what they add, and where training begins",
        "",
        "Small models, cloned to think, act, plan, reflect and judge; what an agent makes of such a model against what",
        "acting alone makes of one at equal calls, then with the agent's own mechanism off. Differences of success",
        "with 95 % intervals over seeds. The last rows are what learning by reward makes of a clone.",
        "",
        "| recipe | question | answer | difference [95 %] |",
        "|---|---|---|--:|",
    ]
    asked = [(name, lambda claim: claim.metric == "success") for name in ADDED]
    for name, wanted in [*asked, ("loop", lambda claim: claim.metric == "gain")]:
        its = recipe(name)
        rows, _ = published(its)
        told = [claim for claim in its.claims if wanted(claim)]
        lines += [f"| [{its.title}]({name}.md) {_cells(claim, claim.verdict(rows, its.seeds))}" for claim in told]
    return "\n".join([*lines, ""])


def pages() -> dict[str, str]:
    """Every page, and the picture, by its file's name."""
    return (
        {"index.md": index()}
        | {f"{name}.md": page(recipe(name)) for name in RECIPES}
        | {f"{TAXONOMY}.md": taxonomy(), f"{LIMITS}.md": limits()}
        | summary()
    )


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        shutil.copy(Path(folder) / "result.json", STORED / f"{Path(folder).name.removeprefix('recipe-')}.json")
    PAGES.mkdir(exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
