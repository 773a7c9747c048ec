"""The numerical tests once more, as they run on other processors.

    python tests/numerics.py [WORD ...]    under every setting, or those whose name has one of the words in it

A sum depends on the order in which it is taken, and so on the processor: OpenBLAS (below NumPy and SciPy), ATen (below
torch) and Numba each choose code for it, and each can be told to choose that of another. What holds here by luck, a
search that happened to end before it met the rounding, a tie that happened to fall the right way, does not hold there.
Two settings run at a time, each in a process of its own. Exits with 1 if a test failed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AVX2, AVX512 = ("AVX2", "FMA3"), ("AVX2", "FMA3", "AVX512_SKX")
"""What code for a processor needs, in NumPy's names."""
MDP = [
    "acceptance_classics", "acceptance_four_by_three", "acceptance_games", "acceptance_grids", "acceptance_gymnasium",
    "average", "certify", "differential", "evaluation", "finite_horizon", "gradient", "irl", "linear_programming",
    "policy_iteration", "prioritised", "qvbs", "rational", "robust", "soft", "solve", "topological", "total",
    "value_iteration",
]  # fmt: skip
SOLVE = (*(f"tests/mdp/test_{name}.py" for name in MDP), "tests/control/test_kernels.py", "tests/language/cpu",
         "tests/language/episodes/test_runner.py")  # fmt: skip
"""What is solved, and the compiled products, by way of SciPy's BLAS."""
CONTROL = tuple(f"tests/control/test_{name}.py" for name in ("kernels", "ppo_fused", "a2c_fused", "agent"))
LEARN = (
    "tests/math",
    *CONTROL,
    "tests/language/cpu",
    "tests/language/model",
    "tests/language/sample",
    "tests/language/learn",
)
COMPILED = (
    *(f"tests/mdp/test_{name}.py" for name in MDP),
    "tests/tabular/test_rules.py",
    "tests/control/test_kernels.py",
)


@dataclass(frozen=True)
class Setting:
    """An environment variable, and the tests whose numbers depend on it."""

    variable: str
    value: str | None  # None: not set
    tests: tuple[str, ...]
    needs: tuple[str, ...] = ()  # features of the processor

    @property
    def name(self) -> str:
        return f"{self.variable}={self.value}" if self.value else f"{self.variable} unset"

    @property
    def environment(self) -> dict[str, str]:
        """Of a process under this setting."""
        kept = {name: value for name, value in os.environ.items() if name != self.variable}
        return kept | ({self.variable: self.value} if self.value else {})


SETTINGS = (
    Setting("NUMBA_CPU_NAME", "generic", COMPILED),
    Setting("OPENBLAS_CORETYPE", None, SOLVE),
    Setting("OPENBLAS_CORETYPE", "Haswell", SOLVE, AVX2),
    Setting("OPENBLAS_CORETYPE", "SkylakeX", SOLVE, AVX512),
    Setting("OPENBLAS_CORETYPE", "Zen", SOLVE, AVX2),
    Setting("ATEN_CPU_CAPABILITY", "default", LEARN),
    Setting("ATEN_CPU_CAPABILITY", "avx2", LEARN, AVX2),
)


def core(setting: Setting) -> str | None:
    """The core whose code OpenBLAS takes under a setting; None without OpenBLAS."""
    environment = setting.environment | {"OPENBLAS_VERBOSE": "2"}
    done = subprocess.run([sys.executable, "-c", "import numpy"], env=environment, capture_output=True, text=True)
    found = re.search(r"^Core: (\w+)", done.stderr, re.MULTILINE)
    return found and found[1]


def chosen(words: list[str]) -> tuple[list[Setting], list[str]]:
    """The settings to run under, and lines that say which are skipped, and why."""
    from numpy._core._multiarray_umath import __cpu_features__ as features

    taken, skipped, cores = list[Setting](), list[str](), dict[str, str]()
    for setting in SETTINGS:
        if words and not any(word.lower() in setting.name.lower() for word in words):
            continue
        missing = [feature for feature in setting.needs if not features.get(feature)]
        if missing:
            skipped.append(f"{setting.name}: this processor has no {missing[-1]}")
        elif setting.value == os.environ.get(setting.variable):
            skipped.append(f"{setting.name}: so the suite itself runs here")
            cores |= {kernels: setting.name} if (kernels := core(setting)) else {}
        elif setting.variable != "OPENBLAS_CORETYPE":
            taken.append(setting)
        elif (kernels := core(setting)) is None:
            skipped.append(f"{setting.name}: NumPy has no OpenBLAS here")
        elif kernels in cores:
            skipped.append(f"{setting.name}: OpenBLAS takes the code for {kernels}, as for {cores[kernels]}")
        else:
            cores[kernels] = setting.name
            taken.append(setting)
    return taken, skipped


def run(setting: Setting) -> bool:
    """Run the tests of one setting; print how they ended, and all that they said if one failed."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *setting.tests]
    environment = setting.environment | {"OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    last = done.stdout.strip().rpartition("\n")[2]
    print(f"{setting.name}: {last if done.returncode == 0 else done.stdout + done.stderr}", flush=True)
    return done.returncode == 0


def main() -> int:
    """Run under every setting; 0 if all tests passed."""
    taken, skipped = chosen(sys.argv[1:])
    for line in skipped:
        print(f"skipped, {line}", flush=True)
    with ThreadPoolExecutor(2) as pool:
        passed = list(pool.map(run, taken))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
