"""What a tabular run has learnt, beside what there was to learn: where the environment shows its table, exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.config.errors import ConfigError, OperantError
from operant.tabular import TabularRun
from operant.view.formatting import count, number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from operant.mdp.model import MDP
    from operant.tabular import TablePolicy

CELLS = 10_000
"""Cells of a map up to which it is drawn."""


@dataclass
class Section:
    """A section of a report: pictures as (title, data URL), sentences, and conditions that the schedules break."""

    pictures: list[tuple[str, str]] = field(default_factory=lambda: list[tuple[str, str]]())
    sentences: list[str] = field(default_factory=lambda: list[str]())
    conditions: list[str] = field(default_factory=lambda: list[str]())
    wide: bool = False  # the pictures stand below each other


def tabular_section(run: Path) -> Section | None:
    """The section of a run; None for one that learns no table, or has none to show yet.

    The environment is made only where it is one of Gymnasium's: a folder from elsewhere does not choose what runs.
    """
    from operant.run import checkpoint, exported
    from operant.run.schemas import settings
    from operant.tabular import TablePolicy

    try:
        cfg = settings(run)
        if not isinstance(cfg, TabularRun):
            return None
        agent = (exported.load(run) if exported.is_exported(run) else checkpoint.load_policy(run))[0]
    except ConfigError:  # the page of a damaged or young run stands without it
        return None
    if not isinstance(agent, TablePolicy):
        return None
    return section_of(cfg, agent)


def section_of(cfg: TabularRun, agent: TablePolicy) -> Section:
    """The section of a table."""
    section = Section()
    mdp = model(cfg)
    if mdp is None or not agent.spec.states <= mdp.num_states or agent.spec.actions != mdp.num_actions:
        section.conditions = _violations(cfg, noisy=True)
        return section
    section.conditions = _violations(cfg, noisy=mdp.nnz > mdp.num_rows)
    try:
        _compare(mdp, agent, section)
        section.sentences += _soft(cfg, mdp)
    except (OperantError, ArithmeticError) as error:  # no optimum, or none that is finite
        section.sentences.append(f"The optimum is not known: {error}")
    return section


def _violations(cfg: TabularRun, *, noisy: bool) -> list[str]:
    """The conditions for convergence with probability one that the schedules break, a sentence each."""
    names = {"step size": "Step sizes", "epsilon": "Exploration"}
    return [f"{names[what]}: {why}." for what, why in cfg.settings().violations(noisy=noisy)]


def model(cfg: TabularRun) -> MDP | None:
    """The environment's own model, where it is one of Gymnasium's that shows its table."""
    from operant.env import make_one
    from operant.mdp.build.gymnasium import from_gymnasium

    if ":" in cfg.env.id:
        return None
    try:
        env = make_one(cfg.env.id, cfg.env.kwargs)
    except OperantError:
        return None
    try:
        return from_gymnasium(env, discount=cfg.algo.discount) if hasattr(env.unwrapped, "P") else None
    except OperantError:
        return None
    finally:
        env.close()


def _compare(mdp: MDP, agent: TablePolicy, section: Section) -> None:
    import numpy as np

    from operant.mdp.graph.reachability import reachable
    from operant.mdp.solvers.solve import solve
    from operant.view.grid_layout import actions_taken, layout_of
    from operant.view.grid_picture import value_limits

    solution = solve(mdp)
    states = agent.spec.states
    values = np.zeros(mdp.num_states)
    values[:states] = agent.table.max(axis=1)
    values[mdp.rows.terminal] = mdp.rows.terminal_value[mdp.rows.terminal]
    greedy = np.zeros((mdp.num_states, agent.spec.actions), dtype=bool)
    greedy[:states] = agent.table == agent.table.max(axis=1, keepdims=True)
    greedy[mdp.rows.terminal] = False
    if mdp.start is not None:
        section.sentences += _worth(mdp, mdp.start, agent, solution)
        decided = reachable(mdp) & ~mdp.rows.terminal
        off = values[decided] - solution.values[decided]
        section.sentences.append(
            f"Over the {count(decided.sum())} states that can be reached, the values learnt are off by "
            f"{number(float(np.sqrt(np.mean(off**2))))} (root mean square), at most by "
            f"{number(float(np.abs(off).max()))}."
        )
    layout = layout_of(mdp)
    if layout is None or layout.states.size > CELLS:
        return
    section.wide = layout.states.shape[1] > max(8, 1.5 * layout.states.shape[0])
    drawn = layout.states[layout.states >= 0]
    drawn = drawn[~mdp.rows.terminal[drawn]]
    limits = value_limits(np.concatenate([values[drawn], solution.values[drawn]]))
    for title, v, actions in (
        ("Learnt: max q(s, ·), and the greedy actions", values, greedy),
        ("Exact: v*, and all optimal actions", solution.values, actions_taken(mdp, solution.ties())),
    ):
        section.pictures.append((title, _picture(layout, mdp.rows.terminal, v, actions, limits)))


def _worth(mdp: MDP, start: NDArray[np.float64], agent: TablePolicy, solution: Any) -> list[str]:
    """What the greedy policy is worth from the start, exactly, beside the best."""
    import numpy as np

    from operant.mdp.analyse.evaluation import evaluate
    from operant.mdp.graph.reachability import reachable
    from operant.mdp.policies import deterministic, induced

    actions = solution.policy.copy()
    states = agent.spec.states
    mine = np.zeros(mdp.num_states, dtype=bool)
    mine[:states] = ~mdp.rows.terminal[:states]
    actions[mine] = agent.table.argmax(axis=1)[mine[:states]]
    visited = reachable(induced(mdp, deterministic(mdp, actions)))
    actions = np.where(visited, actions, solution.policy)  # elsewhere it does not matter, and the best one ends
    best = float(start @ solution.values)
    try:
        worth = float(start @ evaluate(mdp, deterministic(mdp, actions)).values)
    except OperantError:
        return [
            f"The greedy policy need not end from the start, so without discount it has no value; "
            f"the optimum is {number(best, 6)}."
        ]
    return [
        f"Acting greedily on the table is worth {number(worth, 6)} from the start, computed exactly; the optimum "
        f"is {number(best, 6)}: {_loss(best - worth)}."
    ]


def _soft(cfg: TabularRun, mdp: MDP) -> list[str]:
    """What an on-policy method aims at, whose policy keeps its ε: the best ε-soft policy."""
    from operant.mdp import best_epsilon_soft

    epsilon = cfg.algo.epsilon
    if mdp.start is None or not cfg.settings().on_policy or cfg.algo.epsilon_schedule != "constant" or not epsilon:
        return []
    worth = float(mdp.start @ best_epsilon_soft(mdp, epsilon)[0].values)
    return [
        f"It learns about the policy that acts, which keeps ε = {epsilon:g}: the best such policy is worth "
        f"{number(worth, 6)} from the start, and that is what its values tend to."
    ]


def _loss(loss: float) -> str:
    return "nothing is lost" if loss < 1e-6 else f"{number(loss)} is lost"


def _picture(layout: Any, terminal: NDArray[np.bool_], values: Any, actions: Any, limits: tuple[float, float]) -> str:
    from operant.view.grid_picture import GridPicture
    from operant.view.page import png

    drawing = GridPicture(layout, terminal)
    drawing.show(values, actions, limits=limits)
    return png(drawing.figure)
