"""A thousand damaged run folders: none loads silently, none starts from scratch, an older one is named instead."""

from __future__ import annotations

import json
import os
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from operant.config.errors import ConfigError
from operant.control.agent import Agent, AgentSpec
from operant.control.train_state import Networks
from operant.run import checkpoint

SPEC = AgentSpec(obs_dim=8, action_kind="discrete", action_sizes=(4,), hidden=(32, 32), obs_clip=10.0)
STEPS = (1000, 2000, 3000)
FILES = ("model.safetensors", "optim.safetensors", "policy.json", "state.json", "MANIFEST.json")
Mutant = tuple[str, Callable[[Path], None]]  # what it is, and how it damages the newest checkpoint


def agent_of(step):
    agent = Agent(SPEC, torch.Generator().manual_seed(step))
    return agent, torch.optim.Adam([*agent.policy.parameters(), *agent.critic.parameters()], lr=step / 1e6)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run folder with three checkpoints, where possible in memory."""
    fast = Path("/dev/shm")
    base = fast if os.access(fast, os.W_OK) else tmp_path_factory.mktemp("mutants")
    run = base / f"operant-mutants-{os.getpid()}"
    (run / "checkpoints").mkdir(parents=True)
    for step in STEPS:
        agent, optimizer = agent_of(step)
        (
            agent.critic(torch.ones(3, 8)).sum()
            + agent.policy.evaluate(torch.ones(3, 8), torch.ones(3).long())[0].sum()
        ).backward()
        optimizer.step()
        checkpoint.save(run, Networks(agent, optimizer), {"step": step, "seam": step // 1000}, keep=3)
    yield run
    shutil.rmtree(run)


def write(file: str, data: bytes) -> Callable[[Path], None]:
    def damage(newest: Path) -> None:
        (newest / file).write_bytes(data)

    return damage


def headers(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Safetensors files that say what is not so: lengths, offsets, shapes and types."""
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    first, second = [k for k in header if k != "__metadata__"][:2]

    def packed(changed: object) -> bytes:
        text = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
        return len(text).to_bytes(8, "little") + text + body

    for length in (0, 1, 7, size - 1, size + 1, len(data), 2**31, 2**63, 2**64 - 1):
        yield f"header of {length} bytes", length.to_bytes(8, "little") + data[8:]
    for value in ("NaN", "Infinity", "-Infinity", "1e999", "null", "[]", '"x"', "-1"):
        text = json.dumps(header).encode()
        yield (
            f"offset {value}",
            packed(text.replace(b'"data_offsets": [', b'"data_offsets": [' + value.encode() + b", ", 1)),
        )
        yield f"shape {value}", packed(text.replace(b'"shape": [', b'"shape": [' + value.encode() + b", ", 1))
    yield "overlap", packed(header | {first: header[first] | {"data_offsets": header[second]["data_offsets"]}})
    yield "past the end", packed(header | {first: header[first] | {"data_offsets": [0, 2**40]}})
    yield "swapped names", packed(header | {first: header[second], second: header[first]})
    yield "another type", packed(header | {first: header[first] | {"dtype": "I32"}})
    yield "no such type", packed(header | {first: header[first] | {"dtype": "PICKLE"}})
    yield "no tensors", packed({})
    yield "no metadata", packed({k: v for k, v in header.items() if k != "__metadata__"} | {"x": header[first]})
    yield "deep", packed(b"[" * 100_000)
    yield "nan weights", data[: 8 + size] + b"\xff" * len(body)


def manifests(text: bytes) -> Iterator[tuple[str, bytes]]:
    content = json.loads(text)
    files = content["files"]

    def packed(changed: object) -> bytes:
        return (json.dumps(changed, indent=2) + "\n").encode()

    for name in files:
        yield f"without {name}", packed({"files": {k: v for k, v in files.items() if k != name}})
        yield f"size of {name}", packed({"files": files | {name: files[name] | {"size": files[name]["size"] + 1}}})
        yield f"no size of {name}", packed({"files": files | {name: {"sha256": files[name]["sha256"]}}})
        yield f"hash of {name}", packed({"files": files | {name: files[name] | {"sha256": "0" * 64}}})
        yield f"true for {name}", packed({"files": files | {name: True}})
        yield (
            f"upper case of {name}",
            packed({"files": files | {name: files[name] | {"sha256": files[name]["sha256"].upper()}}}),
        )
    for odd in ("../state.json", "/etc/hostname", "..", "", "absent", "a/b"):
        yield f"lists {odd!r}", packed({"files": files | {odd: files["state.json"]}})
    for value in ([], {}, None, 3, "x", {"files": None}, {"files": []}, {"files": 3}, {"files": {}}, {"file": files}):
        yield f"is {value}", packed(value)
    yield "other indent", json.dumps(content).encode()
    yield "deep", b"[" * 100_000
    yield "byte order mark", b"\xef\xbb\xbf" + text
    yield "twice", text + text


def mutants(run: Path) -> Iterator[Mutant]:
    """1,000 and more ways to damage the newest of three checkpoints; the same ones at every call."""
    pick = random.Random(7)
    newest, older = run / f"checkpoints/step-{STEPS[2]:08d}", run / f"checkpoints/step-{STEPS[1]:08d}"
    data = {f: (newest / f).read_bytes() for f in FILES}
    for file, whole in data.items():
        cuts = {*range(0, len(whole), 4096), *(pick.randrange(len(whole)) for _ in range(30)), len(whole) - 1}
        for cut in sorted(cuts):
            yield f"{file} cut to {cut}", write(file, whole[:cut])
        for _ in range(130):
            at, bit = pick.randrange(len(whole)), pick.randrange(8)
            flipped = bytearray(whole)
            flipped[at] ^= 1 << bit
            yield f"{file} byte {at} bit {bit}", write(file, bytes(flipped))
        for extra in (b"\0", b"\n", b" ", b"}", bytes(4096)):
            yield f"{file} and {extra[:4]!r}", write(file, whole + extra)
            yield f"{extra[:4]!r} and {file}", write(file, extra + whole)
        yield f"{file} zeroed", write(file, bytes(len(whole)))
        yield f"{file} gone", lambda p, f=file: (p / f).unlink()
        yield f"{file} a folder", lambda p, f=file: ((p / f).unlink(), (p / f).mkdir())
        yield f"{file} a link", lambda p, f=file: ((p / f).unlink(), (p / f).symlink_to(p.parent / older.name / f))
        if (older / file).read_bytes() != whole:
            yield f"{file} of the one before", write(file, (older / file).read_bytes())
        for other in FILES:
            if data[other] != whole:
                yield f"{file} is {other}", write(file, data[other])
        for _ in range(10):
            a, b, n = pick.randrange(len(whole)), pick.randrange(len(whole)), pick.randrange(1, 64)
            moved = whole[:a] + whole[b : b + n] + whole[a + n :]
            if moved != whole:
                yield f"{file} {n} bytes from {b} at {a}", write(file, moved)
    for file in ("model.safetensors", "optim.safetensors"):
        for what, changed in headers(data[file]):
            yield f"{file} {what}", write(file, changed)
    for what, changed in manifests(data["MANIFEST.json"]):
        yield f"MANIFEST.json {what}", write("MANIFEST.json", changed)
    yield "gone", shutil.rmtree
    yield "empty", lambda p: (shutil.rmtree(p), p.mkdir())
    yield "a file", lambda p: (shutil.rmtree(p), p.write_text("x"))
    yield "a link to nothing", lambda p: (shutil.rmtree(p), p.symlink_to("step-00009999"))
    yield "a link out", lambda p: (shutil.rmtree(p), p.symlink_to("/tmp"))
    yield "the one before under its name", lambda p: (shutil.rmtree(p), shutil.copytree(p.with_name(older.name), p))
    yield "a link to the one before", lambda p: (shutil.rmtree(p), p.symlink_to(older.name))


def test_a_thousand_mutants(whole):
    newest = whole / f"checkpoints/step-{STEPS[2]:08d}"
    aside = whole / "aside"
    names, parameters = set(), {s: agent_of(s) for s in STEPS}
    for what, damage in mutants(whole):
        names.add(what)
        shutil.copytree(newest, aside)
        damage(newest)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                found, state = checkpoint.newest(whole)
            assert (found.name, state["step"]) == (f"step-{STEPS[1]:08d}", STEPS[1]), what
            (warning,) = caught
            assert warning.category is checkpoint.CheckpointWarning, what
            assert newest.name in str(warning.message), what
            assert found.name in str(warning.message), what
            with pytest.raises(ConfigError):
                checkpoint.load_policy(whole, newest.name)
            agent, optimizer = parameters[STEPS[0]]
            with pytest.raises(ConfigError):
                checkpoint.load(newest, Networks(agent, optimizer))
        finally:
            shutil.rmtree(newest) if newest.is_dir() and not newest.is_symlink() else newest.unlink(missing_ok=True)
            aside.replace(newest)
    assert len(names) >= 1000
    fresh, _ = agent_of(STEPS[0])
    assert all(torch.equal(x, agent.state_dict()[k]) for k, x in fresh.state_dict().items() if "mean" not in k), (
        "untouched"
    )
    assert checkpoint.newest(whole)[1]["step"] == STEPS[2]


def test_a_mutant_of_every_checkpoint_is_an_error_not_a_fresh_start(whole):
    copy = whole / "copy"
    for file in FILES:
        shutil.copytree(whole / "checkpoints", copy / "checkpoints", symlinks=True)
        for step in STEPS:
            (copy / f"checkpoints/step-{step:08d}" / file).write_bytes(b"")
        for name in ("latest", f"step-{STEPS[0]:08d}"):
            with pytest.raises(ConfigError):
                checkpoint.load_policy(copy, name)
        with pytest.raises(ConfigError, match=r"no valid checkpoint .*step-00003000.*step-00001000"):
            checkpoint.newest(copy)
        shutil.rmtree(copy)
