"""operant sample, chat and serve, as a person calls them."""

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything reads it

pytest.importorskip("transformers")

from operant.cli import chat as chat_module
from operant.cli.main import main
from operant.config.text import clean
from operant.language.model.fresh import fresh
from operant.language.model.language_model import ends
from operant.language.sample.engine import Engine, Prompt, Sampling
from operant.language.serve.detokenize import decode
from operant.language.serve.speaker import compile_ahead
from operant.language.settings.runs import BaseConfig
from reference.tiny_language import tiny_tokenizer

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture(scope="module")
def policy():
    made = fresh(BaseConfig(width=32, layers=2, heads=4, positions=128), ["the quick brown fox €"] * 20)
    made.tokenizer.chat_template = TEMPLATE
    compile_ahead(made)  # so that no test is the first to wait for it
    return made


@pytest.fixture(scope="module")
def folder(policy, tmp_path_factory):
    where = tmp_path_factory.mktemp("models") / "tiny"
    policy.save(where)
    return str(where)


@pytest.fixture(scope="module")
def plain(policy, tmp_path_factory):
    """The same without a chat template."""
    where = tmp_path_factory.mktemp("models") / "plain"
    policy.tokenizer.chat_template = None
    policy.save(where)
    policy.tokenizer.chat_template = TEMPLATE
    return str(where)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def printed(capsys, *argv):
    assert main([*argv, "--threads", "1"]) == 0
    return capsys.readouterr()


def refused(capsys, *argv):
    """The one line on which a command line is refused."""
    assert main(list(argv)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def wanted(policy, text, sampling, seed, samples=1):
    engine = Engine(policy, seed=seed)
    engine.compiles = False
    tokens = tuple(policy.tokenizer(text)["input_ids"])
    return engine.generate([Prompt(id=0, tokens=tokens)], sampling, samples=samples)


def test_samples_are_those_of_the_engine(capsys, policy, folder):
    argv = ["sample", folder, "the quick", "--seed", "3", "--samples", "2", "--max-tokens", "20", "--top-p", "0.9"]
    found = json.loads(printed(capsys, *argv, "--json").out)
    sampling = Sampling(max_tokens=20, top_p=0.9, stop=ends(policy))
    for one, c in zip(found["completions"], wanted(policy, "the quick", sampling, 3, 2), strict=True):
        assert tuple(one["tokens"]) == c.tokens
        assert one["logp"] == pytest.approx(c.logp, abs=1e-4)
        assert one["kept"] == pytest.approx(c.kept, abs=1e-4)
        assert one["text"] == decode(policy.tokenizer, c.tokens)
        assert (one["finish"], one["drawn"]) == (c.finish, len(c.tokens))
    assert (found["seed"], found["prompt_tokens"]) == (3, policy.tokenizer("the quick")["input_ids"])
    out = printed(capsys, *argv).out
    assert out.count("--- ") == 2
    assert found["completions"][1]["text"] in out


def test_a_single_sample_is_the_text_alone(capsys, policy, folder, monkeypatch):
    (c,) = wanted(policy, "the quick", Sampling(temperature=0.0, max_tokens=9, stop=ends(policy)), 0)
    argv = ["--temperature", "0", "--max-tokens", "9"]
    assert printed(capsys, "sample", folder, "the quick", *argv).out == decode(policy.tokenizer, c.tokens) + "\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the quick\n")))
    assert printed(capsys, "sample", folder, "-", *argv).out == decode(policy.tokenizer, c.tokens) + "\n"


@pytest.mark.parametrize(("kept", "compiles"), [(False, True), (True, True), (False, False)])
def test_who_waits_for_a_compiler_is_told(capsys, folder, monkeypatch, kept, compiles):
    import operant.data.compiled as how
    from operant.language.cpu import numba_decoder

    monkeypatch.setattr(how, "on_disk", lambda kernel: kept)
    if not compiles:
        monkeypatch.setattr(numba_decoder, "obstacle", lambda policy: "a test")
    found = printed(capsys, "sample", folder, "the quick", "--max-tokens", "2", "--seed", "1")
    assert ("once on this machine" in found.err) == (compiles and not kept)
    assert "once on this machine" not in found.out


def test_kernels_on_the_disk_are_found(policy):
    import numba

    from operant.data.compiled import on_disk
    from operant.language.cpu.decode_kernels import advance

    Engine(policy, seed=0).generate([Prompt(id=0, tokens=(5,))], Sampling(max_tokens=1))
    assert on_disk(advance)
    assert not on_disk(numba.njit(lambda x: x))


def test_stop_texts_and_a_new_seed_each_time(capsys, folder):
    def sample(*rest):
        argv = ["sample", folder, "the quick", "--json", "--max-tokens", "40", *rest]
        return json.loads(printed(capsys, *argv).out)

    first, second = sample(), sample()
    assert first["completions"] != second["completions"]
    text = first["completions"][0]["text"]
    again = sample("--seed", str(first["seed"]), "--stop", "never", "--stop", text[5:8])
    assert again["completions"][0]["text"] == text[: text.index(text[5:8])]


def test_a_chat_prompt(capsys, policy, folder):
    found = json.loads(printed(capsys, "sample", folder, "hello", "--chat", "--json", "--max-tokens", "3").out)
    assert found["prompt_tokens"] == policy.tokenizer("user: hello\nassistant: ")["input_ids"]


def test_bad_input_is_refused_in_one_line(capsys, plain, folder, tmp_path, monkeypatch):
    assert "no run 'nowhere'" in refused(capsys, "sample", "nowhere", "x")
    assert "no config.json" in refused(capsys, "sample", str(tmp_path), "x")
    assert "prompt is empty" in refused(capsys, "sample", folder, "")
    assert "no chat template" in refused(capsys, "sample", plain, "x", "--chat")
    assert "no chat template" in refused(capsys, "chat", plain)
    assert "positions" in refused(capsys, "sample", folder, "x", "--max-tokens", "1000")
    assert "shorten it" in refused(capsys, "sample", folder, "x" * 200)
    assert "--device" in refused(capsys, "sample", folder, "x", "--device", "toaster")
    assert "not UTF-8" in refused(capsys, "sample", folder, "\udcff")
    assert "--stop is empty" in refused(capsys, "sample", folder, "x", "--stop", "")
    assert "--length is 500" in refused(capsys, "serve", folder, "--length", "500", "--port", "0")
    assert "tunnel" in refused(capsys, "serve", folder, "--host", "0.0.0.0")
    assert "65535" in refused(capsys, "serve", folder, "--port", "70000")
    assert "not a readable" in refused(capsys, "sample", "nobody/nothing", "x")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    assert "not a readable" in refused(capsys, "sample", str(broken), "x")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert "UTF-8" in refused(capsys, "sample", folder, "-")


def talk(monkeypatch, lines):
    """What a person types, one line at a time; an exception is raised in its place."""
    left = iter(lines)

    def read(prompt=""):
        line = next(left, EOFError())
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr("builtins.input", read)


def test_a_conversation(capsys, monkeypatch, policy, folder, tmp_path):
    file = tmp_path / "talk.jsonl"
    lines = ["hello", "", "again", f"/save {file}", "/system be brief", "x", f"/save {file}"]
    talk(
        monkeypatch,
        [*lines, f"/save {tmp_path}/no/such", "/save", "/reset", "/save x", "/help", "/what", "/exit", "never"],
    )
    found = printed(capsys, "chat", folder, "--seed", "5", "--max-tokens", "8")
    first, second = (json.loads(line)["messages"] for line in file.read_text().splitlines())
    assert [m["role"] for m in first] == ["user", "assistant"] * 2
    assert [m["content"] for m in first[::2]] == ["hello", "again"]
    assert [m["role"] for m in second] == ["system", "user", "assistant"]
    prompt = "user: hello\nassistant: "
    (c,) = wanted(policy, prompt, Sampling(max_tokens=8, stop=ends(policy)), 5)
    assert first[1]["content"] == decode(policy.tokenizer, c.tokens)
    for words in ("/reset", "needs the name of a file", "cannot write", "there is no /what", "nothing was said"):
        assert words in found.err
    from operant.language.text.conversation import Encoder
    from operant.language.text.pairs import read_conversations

    encoder = Encoder(tokenizer=tiny_tokenizer(), length=128)
    assert len(read_conversations(str(file), encoder, learn="assistant")) == 2


def test_an_answer_that_is_stopped_keeps_what_was_said(capsys, monkeypatch, folder):
    shown = []

    def write(text, end="\n"):
        shown.append(text)
        if not end and sum(map(len, shown)) > 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(chat_module, "tell", write)
    kept = []
    monkeypatch.setattr(chat_module.Chat, "save", lambda self, file: kept.extend(self.messages))
    talk(monkeypatch, ["hello", "/save x"])
    found = printed(capsys, "chat", folder, "--seed", "5", "--max-tokens", "100")
    assert "(stopped)" in found.err
    assert 3 < len(kept[1]["content"]) < 40


@pytest.mark.parametrize("moment", ["prompt_of", "say"])
def test_an_interrupt_beside_an_answer_ends_no_conversation(capsys, monkeypatch, folder, tmp_path, moment):
    """While the prompt is made, and while the end of the answer is told."""
    real, calls = getattr(chat_module, moment), []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 2:  # the first is made before anything is asked
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(chat_module, moment, interrupted)
    talk(monkeypatch, ["hello", "again", "/save talk.jsonl"])
    printed(capsys, "chat", folder, "--seed", "5", "--max-tokens", "2")
    kept = json.loads((tmp_path / "talk.jsonl").read_text())["messages"]
    said = ["again"] if moment == "prompt_of" else ["hello", "again"]
    assert [m["content"] for m in kept if m["role"] == "user"] == said
    assert [m["role"] for m in kept] == ["user", "assistant"] * len(said)


def test_a_failure_of_the_model_ends_the_answer_and_not_the_conversation(capsys, monkeypatch, folder, tmp_path):
    from operant.language.cpu.numba_decoder import Compiled

    step, calls = Compiled.advance, []

    def fail(self, steps):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        step(self, steps)

    monkeypatch.setattr(Compiled, "advance", fail)
    talk(monkeypatch, ["hello", "again", "/save talk.jsonl"])
    found = printed(capsys, "chat", folder, "--seed", "5", "--max-tokens", "8")
    assert "error: RuntimeError: out of memory" in found.err
    kept = json.loads((tmp_path / "talk.jsonl").read_text())["messages"]
    assert [m["role"] for m in kept] == ["user", "assistant"]
    assert kept[0]["content"] == "again"


def test_a_conversation_that_is_too_long_says_so(capsys, monkeypatch, folder):
    talk(monkeypatch, ["x" * 300, "hello"])
    found = printed(capsys, "chat", folder, "--max-tokens", "2")
    assert "/reset begins again" in found.err
    assert found.out.count("\n") == 1, "what was too long is not part of the conversation"


def test_a_terminal(folder, policy):
    argv = ["-m", "operant.cli.main", "chat", folder, "--threads", "1", "--seed", "5", "--max-tokens", "8"]
    pid, terminal = pty.fork()
    if not pid:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background was told to ignore it
        os.execve(sys.executable, [sys.executable, *argv], os.environ | {"TERM": "dumb"})
    said = b""

    def until(pattern, again=b"", seconds=120):
        """Read up to a pattern; type `again` at each second in which nothing came."""
        nonlocal said
        end = time.monotonic() + seconds
        while not re.search(pattern, said):
            assert time.monotonic() < end, said
            if select.select([terminal], [], [], 1.0)[0]:
                said += os.read(terminal, 4096)
            else:
                os.write(terminal, again)
        found, said = said, b""
        return found

    (c,) = wanted(policy, "user: € hello\nassistant: ", Sampling(max_tokens=8, stop=ends(policy)), 5)
    answer = clean(decode(policy.tokenizer, c.tokens)).replace("\n", "\r\n")
    assert "> " not in answer
    try:
        until(rb"> $")
        os.write(terminal, "€ hello\n".encode())
        assert f"€ hello\r\n{answer}\r\n".encode() in until(rb"\r\n> $")
        os.write(terminal, b"half a line")
        until(rb"half a line")
        os.write(terminal, b"\x03")
        # Python's input() sees an interrupt only while it waits for a key: one in between shows at the next
        until(rb"\r\n> $", again=b"\x03")
        os.write(terminal, b"/reset\n")
        assert b"half" not in until(rb"a new conversation\)\r\n> $")
        os.write(terminal, b"\x04")
        end = time.monotonic() + 60
        while (status := os.waitpid(pid, os.WNOHANG))[0] == 0:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert status[1] == 0
        pid = 0
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(terminal)


def test_a_server_until_it_is_interrupted(folder):
    pytest.importorskip("starlette")
    command = [sys.executable, "-m", "operant.cli.main", "serve", folder, "--port", "0", "--threads", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+/v1", line)
        assert url, line
        end = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"{url[0]}/models", timeout=5) as answer:
                    assert json.load(answer)["data"][0]["id"] == "tiny"
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert "The server has ended." in process.stderr.read()
    finally:
        process.kill()
        process.wait()


def test_a_run_speaks_with_its_newest_checkpoint(capsys, folder, tmp_path):
    texts = [{"prompt": f"the {i}", "completion": "quick brown fox"} for i in range(40)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(t) + "\n" for t in texts))
    flags = {"total-steps": 320, "algo.lr": 3e-3, "algo.batch": 16, "eval.episodes": 2, "save.every": 160, "threads": 1}
    argv = [f"--{key}={value}" for key, value in flags.items()]
    assert main(["train", "sft", "texts.jsonl", "--model", folder, *argv, "--no-save.report"]) == 0
    capsys.readouterr()
    name = next((tmp_path / "runs").iterdir()).name
    argv = ["--temperature", "0", "--max-tokens", "20", "--seed", "1"]
    said = [printed(capsys, "sample", m, "the 7", *argv).out for m in ("last", name, f"runs/{name}")]
    assert said[0] == said[1] == said[2]
    newest = tmp_path / "runs" / name / "checkpoints" / "step-00000320"
    assert printed(capsys, "sample", str(newest), "the 7", *argv).out == said[0]
    assert said[0] == "quick brown fox\n"
    before, after = (
        json.loads(printed(capsys, "sample", "last", "the 7", "--json", "--checkpoint", c, *argv).out)["completions"][0]
        for c in ("step-00000160", "latest")
    )
    assert sum(before["logp"]) < sum(after["logp"]) < 0.0
    assert "no checkpoint 'best-of-all'" in refused(capsys, "sample", "last", "x", "--checkpoint", "best-of-all")
    info = tmp_path / "runs" / name / "run.json"
    info.write_text(info.read_text().replace('"algorithm": "sft"', '"algorithm": "reward-model"'))
    assert "scores what others say" in refused(capsys, "sample", "last", "x")
