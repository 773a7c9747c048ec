"""Golden runs: what this tree computes is, bit for bit, what an old commit computed.

    python tests/golden.py compare [--against COMMIT] [--only PATTERN ...] [--keep DIR]
    python tests/golden.py old-runs [--against COMMIT] [--only PATTERN ...] [--keep DIR]
    python tests/golden.py list [--only PATTERN ...]

`compare` does the same short things with the source of both trees, one after the other on the same machine: a run of
every algorithm in every world, solves by every method, functions over many seeds. It hashes what came out (tensors,
metrics, returns, completions, certificates; nothing of the clock) and prints one line a case: equal, or which parts
differ. `old-runs` takes run folders that the old tree made, evaluates, reports, resumes, exports or reproduces them
with both, and compares what came of that. Both exit with 1 if anything differs or fails.

`--only` takes words or patterns of case names (`grpo`, `mdp/*`). `--keep DIR` keeps the old tree, its compiled kernels
and what it computed, by case, for the next time (`DIR/old`), and what this tree made where it differs (`DIR/differs`).
The first time every kernel of both trees is compiled, which takes minutes; afterwards all cases take about four. What a
case does stands in `golden_cases/`. Cases use command lines and faces alone, because inner modules move. What the old
commit cannot do yet is left out, and told: `--against` a newer one.

How golden runs are renewed. They are never written into the repository: the old commit computes them anew wherever they
are needed. If a change alters numbers on purpose (a merge that adds in another order, a fault mended), its cause goes
into `docs/log.md`, and one line into `golden_cases/intended.py`: the parts that differ, and the cause in a few words.
Those parts are then reported as intended, and a line that matches no difference any more is reported too. When many
have gathered, take the newest commit whose log is complete as the new `AGAINST`, and empty the table.
"""

from __future__ import annotations

import os

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # a process with threads cannot fork
os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import hashlib
import importlib.util
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import metadata
from pathlib import Path
from typing import Any

from golden_cases import answers, control, digest, language, networks, running, solves, tabular
from golden_cases.case import Case
from golden_cases.intended import INTENDED
from golden_cases.running import Failed

HERE = Path(__file__).resolve().parents[1]
AGAINST = "4775408"
LISTING = Case(name="cli/algorithms", commands=("list algorithms --json",))
CASES = (*solves.CASES, *answers.CASES, *tabular.CASES, *control.CASES, *networks.CASES, *language.CASES, LISTING)
FAMILIES = ("llama", "qwen3", "gemma", "gpt2")
PACKAGES = ("torch", "numpy", "scipy", "numba", "gymnasium", "transformers", "tokenizers", "safetensors")
Digests = dict[str, str]
"""Of what a tree computed for a case, by part."""
SETTINGS = ("OPENBLAS_CORETYPE", "ATEN_CPU_CAPABILITY", "NUMBA_CPU_NAME", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Where both trees work."""

    keep: Path  # the old tree, and what it computed
    work: Path  # of this call alone
    old: Path  # the old tree
    commit: str

    @property
    def models(self) -> Path:
        """The tiny language models that cases are given."""
        return self.work / "models"

    def key(self, case: Case) -> str:
        """What the results of the old tree depend on, as a digest."""
        about = [case.definition(), Path(digest.__file__).read_text(), Path(running.__file__).read_text(), self.commit]
        about += [f"{name} {metadata.version(name)}" for name in PACKAGES if importlib.util.find_spec(name)]
        about += [f"{name}={os.environ.get(name)}" for name in SETTINGS] + [platform.python_version(), processor()]
        about += list(digest.folder(self.models).values()) if case.model else []
        return hashlib.sha256("\n".join(about).encode()).hexdigest()

    def old_run(self, case: Case) -> tuple[Digests, Path]:
        """What the old tree computes for a case, and the folder in which it did; from the last time if nothing changed.

        Raises:
            Failed: if the old tree cannot.
        """
        place = self.keep / "old" / case.name.replace("/", "-")
        file, key = place / "parts.json", self.key(case)
        if file.is_file() and (cached := json.loads(file.read_text()))["key"] == key:
            return cached["parts"], place / "place"
        aside = Path(tempfile.mkdtemp(dir=self.work))
        running.lay(case, self.models, aside / "place")
        parts = running.run(case, case.commands, 1, self.old, aside / "place")
        (aside / "parts.json").write_text(json.dumps({"key": key, "parts": parts}))
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(exist_ok=True)
        with suppress(OSError):  # another call was first
            aside.replace(place)
        return parts, place / "place"

    def show(self, place: Path, case: Case) -> None:
        """Keep what this tree made where it differs, to be looked at."""
        kept = self.keep / "differs" / case.name.replace("/", "-")
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(exist_ok=True)
        place.replace(kept)


def compare(space: Workspace, case: Case) -> tuple[Digests, Digests]:
    """The digests of both trees for a case."""
    old, _ = on_old_tree(lambda: space.old_run(case))
    place = space.work / "new" / case.name
    running.lay(case, space.models, place)
    new = running.run(case, case.commands, 1, HERE, place)
    if new != old:
        space.show(place, case)
    return old, new


def continue_old_run(space: Workspace, case: Case) -> tuple[Digests, Digests]:
    """The digests of both trees for what is done with a run that the old tree made."""
    _, made = on_old_tree(lambda: space.old_run(case))
    digests: list[Digests] = []
    for tree in (space.old, HERE):
        place = space.work / "again" / case.name
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(made, place, symlinks=True)

        def go_on(tree: Path = tree, place: Path = place) -> Digests:
            return running.run(case, case.after, len(case.commands) + 1, tree, place)

        digests.append(go_on() if tree == HERE else on_old_tree(go_on))
    if digests[0] != digests[1]:
        space.show(space.work / "again" / case.name, case)
    return digests[0], digests[1]


class OldFailed(Failed):
    """The old tree itself does not run a case."""


def on_old_tree(work: Callable[[], Any]) -> Any:
    """What the old tree gives; a failure is named as its own."""
    try:
        return work()
    except Failed as error:
        raise OldFailed(str(error)) from error


def report(case: Case, digests: Callable[[Workspace, Case], tuple[Digests, Digests]], space: Workspace) -> str:
    """Print one line on a case; returns its first word."""
    began = time.monotonic()
    if case.needs and importlib.util.find_spec(case.needs) is None:
        word, about = "skipped", f"needs {case.needs}"
    elif case.since and not follows(space.commit, case.since):
        word, about = "skipped", f"{space.commit} cannot: give --against {case.since}, or a commit behind it"
    else:
        try:
            word, about = judge(case, *digests(space, case))
        except OldFailed as error:
            word, about = "NOT GOLDEN", f"fails in {space.commit} itself: {error}"
        except Failed as error:
            word, about = "FAILS", f"in this tree alone: {error}"
    print(f"{word:<10} {case.name:<36} {time.monotonic() - began:5.1f} s  {about}".rstrip(), flush=True)
    return word


def judge(case: Case, old: Digests, new: Digests) -> tuple[str, str]:
    """Whether all parts are equal, and which are not."""
    apart = [part for part in {**old, **new} if old.get(part) != new.get(part)]
    if not old:
        return "EMPTY", "nothing was hashed"
    met = {part: next((p for p in INTENDED if fnmatchcase(f"{case.name}:{part}", p)), "") for part in apart}
    MET.update(met.values())
    odd = [part for part in apart if not met[part]]
    if odd:
        return "DIFFERS", f"in {len(odd)} of {len(old)} parts: {describe(odd, old, new)}"
    if apart:
        causes = sorted({INTENDED[pattern] for pattern in met.values()})
        return "intended", f"in {len(apart)} of {len(old)} parts: {'; '.join(causes)}"
    return "equal", f"{len(old)} parts"


def describe(odd: list[str], old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """The first of the parts that differ; of one file, the first of them and how many more."""
    files: dict[str, list[str]] = {}
    for part in odd:
        files.setdefault(part.rpartition("/")[0], []).append(part)
    marks = {part: " (gone)" if part not in new else " (new)" if part not in old else "" for part in odd}
    shown = [f"{p[0]}{marks[p[0]]}" + (f" and {len(p) - 1} more" if len(p) > 1 else "") for p in files.values()]
    return "; ".join(shown[:5]) + ("; …" if len(shown) > 5 else "")


MET: set[str] = set()
"""The lines of `INTENDED` that explained a difference."""


@contextmanager
def workspace(against: str, keep: Path | None) -> Iterator[Workspace]:
    """The old tree in a worktree of its own, and a folder for this call; both are taken away unless they are kept."""
    commit = git("rev-parse", "--short=7", f"{against}^{{commit}}")
    with tempfile.TemporaryDirectory(prefix="golden-") as temporary:
        home = Path(temporary) if keep is None else keep.resolve()
        home.mkdir(parents=True, exist_ok=True)
        old = home / f"tree-{commit}"
        if not (old / "src").is_dir():
            git("worktree", "add", "--detach", "--force", str(old), commit)
        work = Path(tempfile.mkdtemp(prefix="work-", dir=home))
        try:
            yield Workspace(keep=home, work=work, old=old, commit=commit)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            if keep is None:
                git("worktree", "remove", "--force", str(old))


def git(*words: str) -> str:
    """What git says in this tree; ends the script where it refuses, as for a commit that a shallow clone lacks."""
    done = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def follows(commit: str, first: str) -> bool:
    """Whether a commit is another, or comes behind it."""
    done = subprocess.run(["git", "merge-base", "--is-ancestor", first, commit], cwd=HERE, capture_output=True)
    return done.returncode == 0


def processor() -> str:
    """The model of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line for line in lines if line.startswith("model name")), platform.processor())


def lay_models(place: Path) -> None:
    """Write the tiny language models."""
    from transformers.utils import logging

    from reference.tiny_language import tiny_model, tiny_tokenizer

    logging.disable_progress_bar()
    for family in FAMILIES:
        tiny_model(family, layers=1, positions=1024).save_pretrained(place / family)
        tiny_tokenizer().save_pretrained(place / family)


def chosen(patterns: list[str]) -> list[Case]:
    """The cases whose names hold a word or match a pattern; all where there is none."""
    return [c for c in CASES if not patterns or any(p in c.name or fnmatchcase(c.name, p) for p in patterns)]


def uncovered(space: Workspace, cases: list[Case]) -> list[str]:
    """Algorithms of the old tree that no case trains; none where the case that lists them is left out or fails."""
    file = space.keep / "old" / LISTING.name.replace("/", "-") / "place" / "1.out"
    listed = json.loads(file.read_text()) if LISTING in cases and file.exists() else []
    trained = {words.split()[1] for case in CASES for words in case.commands if words.startswith("train ")}
    return [row["name"] for row in listed if row["name"] not in trained]


def main() -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("verb", choices=("compare", "old-runs", "list"))
    parser.add_argument("--against", default=AGAINST, metavar="COMMIT", help=f"the old commit [{AGAINST}]")
    parser.add_argument("--only", nargs="+", default=[], metavar="PATTERN", help="words or patterns of case names")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the old tree and its results there")
    args = parser.parse_args()
    cases = [case for case in chosen(args.only) if args.verb != "old-runs" or case.after]
    if args.verb == "list" or not cases:
        print("\n".join(case.name for case in cases) or "no case has such a name")
        return 0 if cases else 2
    running.prepare(sorted({case.world for case in cases}))
    pair = compare if args.verb == "compare" else continue_old_run
    began = time.monotonic()
    with workspace(args.against, args.keep) as place:
        if any(case.model for case in cases):
            running.forked(lay_models, place.models)
        words = Counter(report(case, pair, place) for case in cases)
        missed = uncovered(place, cases) if args.verb == "compare" else []
    for name in missed:
        print(f"NO CASE    trains {name}")
    stale = [p for p in INTENDED if p not in MET] if args.verb == "compare" and not args.only else []
    for pattern in stale:
        print(f"STALE      {pattern} in golden_cases/intended.py explains no difference")
    counts = ", ".join(f"{count} {word}" for word, count in words.items())
    print(f"{counts}: this tree against {place.commit}, {time.monotonic() - began:.0f} s")
    return 1 if missed or stale or any(word.isupper() for word in words) else 0


if __name__ == "__main__":
    sys.exit(main())
