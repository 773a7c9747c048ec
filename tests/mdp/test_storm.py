"""Total reward against stormpy on models written as PRISM sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from operant.mdp.solvers.total import interval_iteration, optimistic_value_iteration
from reference import storm

stormpy = pytest.importorskip("stormpy", reason="a peer, for development")

WALK = """
mdp
module walk
  x : [0..{n}] init {start};
  [safe] x>0 & x<{n} -> {p}:(x'=x-1) + {q}:(x'=x+1);
  [risky] x>0 & x<{n} -> 1/4:(x'=max(0,x-3)) + 3/4:(x'=min({n},x+2));
  [wait] x>0 & x<{n} -> (x'=x);
  [] x=0 | x={n} -> true;
endmodule
label "goal" = x=0;
label "end" = x=0 | x={n};
rewards "cost"
  [safe] true : 1;
  [risky] true : {risk};
  [wait] true : 1/2;
endrewards
"""
PROPERTIES = """"most": Pmax=? [ F "goal" ];
"least": Pmin=? [ F "goal" ];
"cheap": R{"cost"}min=? [ F "end" ];
"""


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("solver", [interval_iteration, optimistic_value_iteration])
def test_walks_with_a_choice(seed: int, solver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rng = np.random.default_rng(seed)
    n, tenths = int(rng.integers(4, 12)), int(rng.integers(2, 9))
    source = tmp_path / "walk.prism"
    source.write_text(
        WALK.format(n=n, start=n // 2, p=f"{tenths}/10", q=f"{10 - tenths}/10", risk=int(rng.integers(1, 5)))
    )
    stored = storm.arrays(source, PROPERTIES, {})
    model, named = storm.checked(source, PROPERTIES, {})
    for name, reward, sign in (("most", None, 1.0), ("least", None, -1.0), ("cheap", "cost", -1.0)):
        found = solver(storm.model_of(stored, name, reward, sign), epsilon=1e-8, must_terminate=name == "cheap")
        result = stormpy.model_checking(model, named[name])
        for s in range(model.nr_states):
            want = result.get_value(s)
            assert abs(sign * found.values[s] - want) <= 1e-8 + 2e-6 * abs(want), (name, s)
            assert result.get_lower_bound(s) <= sign * found.values[s] + 1e-8
            assert result.get_upper_bound(s) >= sign * found.values[s] - 1e-8
