"""Rewards, tasks and step rewards that raise what nobody expects, or give what only looks like a number; full disks.

Whatever they do is told with its place: no traceback, no silent end, no exit code of theirs.
"""

import os
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest

from operant.cli.main import main
from operant.config.errors import ConfigError, DiskError
from operant.language.reward.trace import Trace
from operant.language.task.pool import Pool
from operant.language.task.score import score
from operant.run import disk
from reference.tiny_language import tiny_folder

REWARDS = """
import decimal, sys
import numpy as np

class Liar:
    def __float__(self): raise RuntimeError("no number")
    def __repr__(self): raise RuntimeError("no text")

class Leaves:
    def __float__(self): sys.exit(0)

class Mute(Exception):
    def __str__(self): raise ValueError("no words")

def leave(trace): sys.exit(0)
def leave_with_words(trace): sys.exit("gone")
def end_generator(trace): raise GeneratorExit
def interrupt(trace): raise KeyboardInterrupt
def huge(trace): return 10**400
def not_a_number(trace): return decimal.Decimal("NaN")
def signalling(trace): return decimal.Decimal("sNaN")
def infinite(trace): return np.float32("inf")
def liar(trace): return Liar()
def leaves_late(trace): return Leaves()
def mute(trace): raise Mute
def base(trace): raise BaseException("of all")
def deep(trace): return deep(trace)
def full(trace): raise Exception("No space left on device (os error 28)")
"""
SAID = {
    "leave": "raised SystemExit: 0 (", "leave_with_words": "raised SystemExit: gone (",
    "end_generator": "raised GeneratorExit:", "interrupt": "raised KeyboardInterrupt:",
    "huge": "too large to train on", "not_a_number": "returned Decimal('NaN'), not a finite number",
    "signalling": "returned Decimal('sNaN'), not a number", "infinite": "not a finite number",
    "liar": "returned a Liar that cannot be shown, not a number: to read it raised RuntimeError: no number",
    "leaves_late": "not a number: to read it raised SystemExit: 0",
    "mute": "raised Mute: a message that cannot be read",
    "base": "raised BaseException: of all", "deep": "raised RecursionError", "full": "raised Exception: No space left",
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raise")
    tiny_folder(folder / "m")
    (folder / "odd_rewards.py").write_text(REWARDS)
    return folder


@pytest.fixture
def odd(home, monkeypatch):
    monkeypatch.syspath_prepend(str(home))
    import odd_rewards

    return odd_rewards


@pytest.fixture(scope="module")
def pool():
    with Pool(1) as pool:
        yield pool


@pytest.mark.parametrize("where", ["here", "worker"])
@pytest.mark.parametrize("entry", sorted(SAID))
def test_what_a_reward_raises_or_gives_is_told(entry, where, odd, pool):
    of, trace = getattr(odd, entry), Trace(prompt="p", completion="c")
    if where == "worker":
        (found,) = pool.run([(of, trace)])
        assert SAID[entry] in found
        return
    from operant.reward import reward

    found = score([trace], {"odd": reward(pure=True)(of)}, judge=pool)
    assert SAID[entry] in found.message
    assert not found.judged[0]


TASK = """
import sys
from operant.reward import reward
from operant.task import Example, Task
sys.path.insert(0, {home!r})
import odd_rewards as odd
{way}
def task():
    {first}
    of = [Example(prompt=f"{{i}} is ", gold={gold}, solution=str(i), metadata={{"steps": [str(i)]}}) for i in range(30)]
    return Task(name="t", train=of[10:], test=of[:10], rewards={{"judge": judge}}, max_tokens=4, {more})
"""
JUDGE = """
@reward(best=None, pure=True)
def judge(trace):
    if trace.completion in ("", " \\n"): return -1.0
    if trace.completion == trace.gold: return 1.0
    if trace.completion in map(str, range(40)): return 0.0
    return BODY
"""
FINE = JUDGE.replace("BODY", "float(len(trace.tokens) % 2)")


def trained(home, tmp_path, monkeypatch, capsys, *, first="pass", gold="str(i)", way=FINE, more="", words=()):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.py").write_text(TASK.format(home=str(home), first=first, gold=gold, way=way, more=more))
    flags = ["--model", str(home / "m"), "--threads", "1", "--total-steps", "2", "--algo.prompts", "2",
             "--algo.samples", "2", "--eval.episodes", "2", "--no-save.report"]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code = main(["train", "grpo", "t.py", *flags, *words])
    return code, " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "entry", ["leave", "end_generator", "interrupt", "huge", "liar", "leaves_late", "mute", "base"]
)
def test_a_run_whose_reward_does_so_ends_with_words(entry, home, tmp_path, monkeypatch, capsys):
    way = JUDGE.replace("BODY", f"odd.{entry}(trace)")
    code, said = trained(home, tmp_path, monkeypatch, capsys, way=way)
    assert code == 1
    assert "and so it was 10 times in a row" in said
    assert SAID[entry] in said


@pytest.mark.parametrize("entry", ["leave", "leave_with_words", "end_generator", "interrupt", "mute", "base"])
def test_a_task_that_does_so_when_it_is_made_is_refused(entry, home, tmp_path, monkeypatch, capsys):
    code, said = trained(home, tmp_path, monkeypatch, capsys, first=f"odd.{entry}(None)")
    assert code == 2
    assert "odd_rewards.py:" in said
    assert "making the task raised" in said


@pytest.mark.parametrize("entry", ["leave", "liar", "huge", "interrupt", "base"])
def test_a_step_reward_that_does_so_is_refused_with_its_place(entry, home, tmp_path, monkeypatch, capsys):
    steps = f"@reward(best=None, pure=True)\ndef steps(trace): return [(1, odd.{entry}(trace))]\n"
    code, said = trained(home, tmp_path, monkeypatch, capsys, way=FINE + steps, more="step_reward=steps",
                         words=["--algo.supervision", "process"])  # fmt: skip
    assert code == 2
    assert "t, train[0]: the step reward" in said
    assert SAID[entry] in said


@pytest.mark.parametrize("entry", ["text", "comparison"])
def test_a_gold_answer_of_a_class_of_ones_own_ends_nothing(entry, home, tmp_path, monkeypatch, capsys):
    way = FINE + "class Gold:\n    def __eq__(self, other): return str(self.i) == other\n"
    way += "    __hash__ = None\n    def __init__(self, i): self.i = i\n"
    bad = "def __str__(self): raise RuntimeError('no text')" if entry == "text" else ""
    bad = bad or "def __ne__(self, other): raise RuntimeError('no comparing')"
    code, said = trained(home, tmp_path, monkeypatch, capsys, way=way + f"    {bad}\n", gold="Gold(i)")
    if entry == "text":
        assert code == 0, said
    else:
        assert code == 2
        assert "t, train[0]: its gold, compared with another, raised RuntimeError: no comparing (" in said


FULL = {
    "tokenizers": Exception("No space left on device (os error 28)"),
    "safetensors": disk.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    "pyarrow": OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"),
    "a quota": RuntimeError("write failed: Disk quota exceeded"),
    "a limit of size": Exception("File too large (os error 27)"),
    "errno": OSError(28, "No space left on device", "/x"),
}


@pytest.mark.parametrize("entry", sorted(FULL))
def test_a_full_disk_is_known_by_its_words(entry, tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "run.json").write_text("{}")
    with pytest.raises(DiskError) as told, disk.writing(tmp_path / "r" / "checkpoints" / "a", 10):
        raise FULL[entry]
    assert "(10 bytes needed," in str(told.value)
    assert "Free some space, then go on with: operant resume" in str(told.value)
    assert told.value.exit_code == 5


@pytest.mark.parametrize("entry", ["tokenizer", "model"])
def test_a_disk_that_is_full_for_a_library_of_another_language_ends_a_run_with_five(
    entry, home, tmp_path, monkeypatch, capsys
):
    import transformers

    def refuse(*_, **__):
        raise FULL["tokenizers" if entry == "tokenizer" else "safetensors"]

    kind = "PreTrainedTokenizerBase" if entry == "tokenizer" else "PreTrainedModel"
    monkeypatch.setattr(getattr(transformers, kind), "save_pretrained", refuse)
    code, said = trained(home, tmp_path, monkeypatch, capsys)
    assert code == 5
    assert "No space left on device" in said
    assert "operant resume" in said


def test_other_errors_of_libraries_stay_what_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="space is a word"), disk.writing(tmp_path / "a", 10):
        raise RuntimeError("space is a word")
    with pytest.raises(ConfigError), disk.writing(tmp_path / "a", 10):
        raise ConfigError("no space left on device: said by us of something else")
