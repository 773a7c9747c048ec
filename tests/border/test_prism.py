"""What `from_prism` says a quantity of PRISM's is, and is not.

Small random models with traps, loops that cost nothing and targets that may be missed are asked about by Storm, from
every state, and by us as the documentation of `from_prism` says.
"""

import numpy as np
import pytest

from operant.mdp import ModelError, evaluate, from_prism, solve, solve_exactly
from operant.mdp.policies import uniform

FOUR = {
    "Rmax": ('R{"r"}max=? [F "goal"]', {}, 1.0),
    "Rmin": ('R{"r"}min=? [F "goal"]', {"minimise": True}, -1.0),
    "Pmax": ('Pmax=? [F "goal"]', {"reach": True}, 1.0),
    "Pmin": ('Pmin=? [F "goal"]', {"reach": True, "minimise": True}, -1.0),
}


def drawn(seed):
    """(successors and tenths, reward) of each choice of each state; the last one is the goal."""
    rng = np.random.default_rng(seed)
    states = int(rng.integers(3, 7))
    rows = []
    for _ in range(states):
        choices = []
        for _ in range(int(rng.integers(1, 4))):
            to = rng.choice(states, size=min(int(rng.integers(1, 4)), states), replace=False)
            tenths = rng.multinomial(10 - len(to), np.ones(len(to)) / len(to)) + 1
            choices.append((dict(zip(to.tolist(), tenths.tolist(), strict=True)), int(rng.choice([0, 0, 1, 2]))))
        rows.append(choices)
    return rows


def files(rows, folder):
    """As PRISM exports it: .tra, .lab, .trew."""
    lines = [
        f"{s} {c} {t} {n / 10}"
        for s, choices in enumerate(rows)
        for c, (to, _) in enumerate(choices)
        for t, n in to.items()
    ]
    paid = [f"{s} {c} {t} {r}" for s, choices in enumerate(rows) for c, (to, r) in enumerate(choices) for t in to]
    head = f"{len(rows)} {sum(map(len, rows))} "
    (folder / "m.tra").write_text(f"{head}{len(lines)}\n" + "\n".join(lines) + "\n")
    (folder / "m.trew").write_text(f"{head}{len(paid)}\n" + "\n".join(paid) + "\n")
    (folder / "m.lab").write_text(f'0="init" 1="deadlock" 2="goal"\n0: 0\n{len(rows) - 1}: 2\n')
    return folder / "m.tra"


def source(rows, first):
    """The same in PRISM's language, beginning in a state."""
    lines = ["mdp", "module m", f"  s : [0..{len(rows) - 1}] init {first};"]
    paid = []
    for s, choices in enumerate(rows):
        for c, (to, r) in enumerate(choices):
            lines.append(f"  [a{c}] s={s} -> " + " + ".join(f"{n}/10:(s'={t})" for t, n in to.items()) + ";")
            paid.append(f"  [a{c}] s={s} : {r};")
    goal = f'label "goal" = s={len(rows) - 1};'
    return "\n".join([*lines, "endmodule", goal, 'rewards "r"', *paid, "endrewards", ""])


@pytest.mark.parametrize("entry", FOUR)
@pytest.mark.parametrize("seed", range(12))
def test_the_quantities_are_those_of_storm(entry, seed, tmp_path):
    pytest.importorskip("stormpy", reason="a peer, for development")
    import stormpy

    from reference import storm

    rows = drawn(seed)
    formula, options, sign = FOUR[entry]
    found = sign * solve(from_prism(files(rows, tmp_path), target="goal", **options), 1e-8).values
    for first in range(len(rows)):
        text = tmp_path / f"from{first}.prism"
        text.write_text(source(rows, first))
        model, named = storm.checked(text, f'"q": {formula};', {})
        want = stormpy.model_checking(model, named["q"]).get_value(model.initial_states[0])
        assert found[first] == want if np.isinf(want) else abs(found[first] - want) < 1e-5, (first, found, want)


def chain(folder):
    """One step, half of it to the goal and half of it to where the goal is missed."""
    (folder / "m.tra").write_text("3 3 4\n0 0 1 0.5\n0 0 2 0.5\n1 0 1 1\n2 0 2 1\n")
    (folder / "m.lab").write_text('0="init" 1="deadlock" 2="goal"\n0: 0\n1: 2\n')
    (folder / "m.srew").write_text("3 1\n0 1\n")
    return folder / "m.tra"


@pytest.mark.parametrize("entry", ["auto", "interval-iteration", "optimistic-value-iteration", "policy-iteration"])
def test_a_target_that_may_be_missed_has_infinite_reward(entry, tmp_path):
    path = chain(tmp_path)
    for minimise, want in ((False, np.inf), (True, -np.inf)):
        mdp = from_prism(path, target="goal", minimise=minimise)
        assert solve(mdp, method=entry).values.tolist() == [want, 0.0, want]
        with pytest.raises(ModelError, match="not proper"):
            evaluate(mdp, uniform(mdp))
        with pytest.raises(ModelError):
            solve_exactly(mdp)
    with pytest.raises(ModelError, match="wins"):
        solve(from_prism(path, target="goal"), method=entry, must_terminate=True)
    assert solve(from_prism(path, target="goal", discount=0.5)).values[0] == pytest.approx(1.0, abs=1e-6)
    assert solve(from_prism(path, target="goal", horizon=3)).values[0, 0] == pytest.approx(1.0, abs=1e-6)
    assert solve(from_prism(path), method=entry).values[0] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("entry", ["interval-iteration", "optimistic-value-iteration", "policy-iteration"])
def test_waiting_is_no_way_to_a_target(entry, tmp_path):
    """A loop that costs nothing never gets there: Rmin is the cost of going."""
    (tmp_path / "w.tra").write_text("3 4 4\n0 0 0 1\n0 1 1 1\n1 0 2 1\n2 0 2 1\n")
    (tmp_path / "w.lab").write_text('0="init" 1="deadlock" 2="goal"\n0: 0\n2: 2\n')
    (tmp_path / "w.srew").write_text("3 1\n1 1\n")
    cheapest = from_prism(tmp_path / "w.tra", target="goal", minimise=True)
    assert solve(cheapest, method=entry).values.tolist() == pytest.approx([-1.0, -1.0, 0.0], abs=1e-6)
    dearest = from_prism(tmp_path / "w.tra", target="goal")
    assert solve(dearest, method=entry).values[0] == np.inf
    assert solve(dearest, method=entry).values[1] == pytest.approx(1.0, abs=1e-6)
