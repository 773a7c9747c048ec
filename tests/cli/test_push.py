"""Uploads to a stand-in for a hub that runs on this machine: what it receives, and what is said when it refuses."""

import base64
import hashlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("huggingface_hub")

import operant
from operant.cli.export import export
from operant.cli.main import main

TOKEN = "hf_of_nobody"
QUICK = {"total_steps": 300, "quiet": True, "env.num": 2, "algo.horizon": 32, "eval.episodes": 3}
QUICK |= {"save.videos": False, "save.report": False}


class Hub(ThreadingHTTPServer):
    """A repository of models in memory: the few calls that an upload makes."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.refuse: dict[str, int] = {}  # part of a path to the status that it is answered with
        self.repos: dict[str, dict] = {}
        self.blobs: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self):
        hub, body = self.server, self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.calls.append((self.path, self.headers.get("Authorization", "")))
        for part, status in hub.refuse.items():
            if part in self.path:
                return self.reply(status, {"error": "refused"})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" and not self.path.startswith("/verify"):
            return self.reply(401, {"error": "Invalid credentials"}, {"X-Error-Message": "Invalid credentials"})
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in hub.repos:
                return self.reply(409, {"error": "You already created this model repo", "url": f"{hub.url}/{name}"})
            hub.repos[name] = {"visibility": asked.get("visibility"), "files": {}, "commits": []}
            return self.reply(200, {"url": f"{hub.url}/{name}"})
        if self.path == "/api/validate-yaml":
            front = json.loads(body)["content"].split("---")[1]
            assert "model-index" in front
            return self.reply(200, {"warnings": [], "errors": []})
        if "/preupload/" in self.path:
            files = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if f["path"].endswith((".safetensors", ".onnx")) else "regular",
                    "shouldIgnore": False,
                }
                for f in json.loads(body)["files"]
            ]
            return self.reply(200, {"files": files})
        if self.path.endswith("/info/lfs/objects/batch"):
            objects = [
                {
                    **o,
                    "actions": {
                        "upload": {"href": f"{hub.url}/blob/{o['oid']}"},
                        "verify": {"href": f"{hub.url}/verify/{o['oid']}"},
                    },
                }
                for o in json.loads(body)["objects"]
            ]
            return self.reply(200, {"transfer": "basic", "objects": objects})
        if self.path.startswith("/verify/"):
            return self.reply(200 if json.loads(body)["oid"] in hub.blobs else 404, {})
        name = self.path.split("/api/models/")[1].split("/commit/")[0]
        repo = hub.repos[name]
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                repo["files"][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                repo["files"][line["value"]["path"]] = hub.blobs[line["value"]["oid"]]
            else:
                repo["commits"].append(line["value"]["summary"])
        return self.reply(200, {"commitUrl": f"{hub.url}/{name}/commit/1", "commitOid": "1" * 40, "success": True})

    def do_PUT(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        assert hashlib.sha256(data).hexdigest() == self.path.split("/")[-1]
        self.server.blobs[self.path.split("/")[-1]] = data
        self.reply(200, {})

    def do_GET(self):
        self.server.calls.append((self.path, self.headers.get("Authorization", "")))
        self.reply(404, {"error": "not found"})

    def reply(self, status, value, headers=None):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of language models keep the hub's client offline; these speak to a hub of their own."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)


@pytest.fixture
def hub(monkeypatch):
    """A hub, a token in the environment, and no way to anywhere else."""
    connect = socket.socket.connect

    def only_here(self, address):
        assert not isinstance(address, tuple) or address[0] in ("127.0.0.1", "::1"), f"tried to reach {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_here)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An exported policy."""
    path = tmp_path_factory.mktemp("push")
    return export(operant.train("ppo", "CartPole-v1", runs=path / "runs", **QUICK).path, out=path / "policy")


def test_a_folder_arrives_whole_and_opens(hub, folder, tmp_path, capsys):
    (folder / "mine.txt").write_text("not listed, not sent")
    assert main(["push", str(folder), "ada/ppo", "--endpoint", hub.url, "--private"]) == 0
    assert capsys.readouterr().out.strip() == f"{hub.url}/ada/ppo"
    repo = hub.repos["ada/ppo"]
    sent = repo["files"]
    listed = json.loads((folder / "MANIFEST.json").read_text())["files"]
    assert set(sent) == {*listed, "MANIFEST.json"}
    assert repo["visibility"] == "private"
    assert len(repo["commits"]) == 1
    assert str(folder.parent) not in repo["commits"][0]
    for name, content in sent.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert operant.Run(tmp_path).evaluate()["returns"] == json.loads(sent["evaluation.json"])["returns"]
    assert main(["push", str(folder), "ada/ppo", "--endpoint", hub.url]) == 0  # the repository is there by now
    assert len(repo["commits"]) == 2


def test_a_run_is_exported_first(hub, folder, tmp_path, capsys):
    runs = folder.parent / "runs"
    assert main(["push", "last", "ada/fresh", "--runs", str(runs), "--endpoint", hub.url]) == 0
    assert "policy.onnx" in hub.repos["ada/fresh"]["files"]
    assert hub.repos["ada/fresh"]["visibility"] != "private"


@pytest.mark.parametrize(
    ("status", "where", "says"),
    [
        (401, "/api/repos/create", "not valid"),
        (403, "/api/repos/create", "may not write to ada/ppo"),
        (403, "/preupload/", "may not write to ada/ppo"),
        (409, "/commit/", "another upload"),
        (412, "/commit/", "another upload"),
        (418, "/api/repos/create", "answered 418"),
    ],
)
def test_a_refusal_is_said_in_words_and_without_the_token(hub, folder, capsys, status, where, says):
    hub.refuse[where] = status
    assert main(["push", str(folder), "ada/ppo", "--endpoint", hub.url]) == 1
    told = capsys.readouterr().err
    assert says in told
    assert str(status) in told
    assert TOKEN not in told
    assert "Traceback" not in told
    assert not hub.repos.get("ada/ppo", {}).get("files")


def test_a_hub_that_is_not_there(folder, hub, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert main(["push", str(folder), "ada/ppo", "--endpoint", f"http://127.0.0.1:{port}"]) == 1
    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize("repo", ["ppo", "a/b/c", "../etc", "a b/c", "/ppo", "-a/b", "ada/ppo\n"])
def test_a_name_that_is_none_is_refused_before_anything_is_sent(hub, folder, capsys, repo):
    assert main(["push", str(folder), "--endpoint", hub.url, "--", repo]) == 2
    assert hub.calls == []


def test_without_a_token_nothing_is_sent(hub, folder, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    assert main(["push", str(folder), "ada/ppo", "--endpoint", hub.url]) == 2
    assert "HF_TOKEN" in capsys.readouterr().err
    assert hub.calls == []


def test_an_address_that_is_none_is_refused(hub, folder, capsys):
    assert main(["push", str(folder), "ada/ppo", "--endpoint", "localhost:80"]) == 2
    assert "expected the address" in capsys.readouterr().err


def test_a_damaged_folder_is_not_sent(hub, folder, tmp_path, capsys):
    import shutil

    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "policy.onnx").write_bytes(b"something else")
    assert main(["push", str(copy), "ada/ppo", "--endpoint", hub.url]) == 2
    assert "policy.onnx" in capsys.readouterr().err
    assert hub.calls == []


def test_every_call_carries_the_token_to_this_hub_only(hub, folder):
    assert main(["push", str(folder), "ada/calls", "--endpoint", hub.url]) == 0
    assert {token for path, token in hub.calls if path.startswith("/api/")} == {f"Bearer {TOKEN}"}
