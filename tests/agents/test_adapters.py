"""Worlds of others, against stand-ins that answer as theirs were recorded to."""

import asyncio
import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agents.played import following, play, total
from operant.config.errors import ConfigError, EnvError
from operant.language import World, load_world

httpx2 = pytest.importorskip("httpx2")
websockets = pytest.importorskip("websockets")


# ------------------------------------------------------------------------------------------------------- AppWorld
class AppServer:
    """The environment server of AppWorld 0.1, which holds one world, with one task: print, then complete."""

    def __init__(self):
        self.calls, self.task, self.code, self.broken = [], None, [], 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = server.answer(self.path.strip("/"), body)
                raw = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, method, body):
        self.calls.append((method, body))
        if self.broken:
            self.broken -= 1
            return 500, {"detail": "closed database"}
        if method == "initialize":
            self.task, self.code = body["task_id"], []
            person = {"first_name": "Ann", "last_name": "Lee", "email": "a@x", "phone_number": "1"}
            return 200, {
                "output": {"task_id": self.task, "instruction": "Pay Bob.", "supervisor": person, "datetime": ""}
            }
        if body["task_id"] != self.task:
            return 400, {"detail": f"The active task world is {self.task}."}
        if method == "execute":
            self.code.append(body["code"])
            if "boom" in body["code"]:
                return 200, {"output": "Execution failed. Traceback:\nNameError: boom"}
            return 200, {"output": "Execution successful."}
        if method == "task_completed":
            return 200, {"output": any("complete_task" in code for code in self.code)}
        if method == "evaluate":
            done = {"right": any("pay" in c for c in self.code), "told": any("complete" in c for c in self.code),
                    "nothing else": not any("steal" in c for c in self.code)}  # fmt: skip
            rows = {True: [], False: []}
            for name, passed in done.items():
                label = "no_op_pass" if name == "nothing else" else "no_op_fail"
                rows[passed].append({"requirement": name, "label": label})
            told = {"success": all(done.values()), "difficulty": 1, "num_tests": 3}
            return 200, {"output": told | {"passes": rows[True], "failures": rows[False]}}
        return 200, {"output": None}


def code(*lines):
    return "So.\n```python\n" + "\n".join(lines) + "\n```"


@pytest.fixture
def app(tmp_path):
    server = AppServer()
    (tmp_path / "train.txt").write_text("82e2fac_1\n82e2fac_2\n\n50e1ac9_1\n")
    yield server, {"train": str(tmp_path / "train.txt"), "turns": 4}
    server.server.shutdown()


def test_an_appworld_task_from_its_words_to_its_tests(app):
    server, options = app
    world = load_world(f"appworld/{server.url}", options)
    assert isinstance(world, World)
    assert list(world.splits) == ["train"]
    scenarios = world.scenarios("train")
    assert [(s.template, s.variant) for s in scenarios] == [("82e2fac", 1), ("82e2fac", 2), ("50e1ac9", 1)]
    seen = play(world, scenarios[1], following([code("pay(bob)"), code("apis.supervisor.complete_task()")]))
    assert seen[0].text == "Task: Pay Bob.\nI am Ann Lee a@x 1."
    assert seen[1].text == "Execution successful."
    assert (seen[2].reward, seen[2].terminated, seen[2].info["success"]) == (1.0, True, True)
    methods = [name for name, _ in server.calls]
    wanted = ["initialize", "execute", "task_completed", "execute", "task_completed", "evaluate", "close"]
    assert methods == wanted
    assert all(body["task_id"] == "82e2fac_2" for _, body in server.calls)


def test_appworld_rewards_what_a_no_op_does_not_and_harm_counts_against_it(app):
    server, options = app
    world = load_world(f"appworld/{server.url}", options)
    first = world.scenarios("train")[0]
    half = play(world, first, following([code("apis.supervisor.complete_task()")]))
    assert total(half) == 0.5
    assert not half[-1].info["success"]
    harm = play(world, first, following([code("steal()"), code("complete_task()")]))
    assert total(harm) == 0.0
    whole = load_world(f"appworld/{server.url}", options | {"partial": False})
    assert total(play(whole, first, following([code("complete_task()")]))) == 0.0


def test_appworld_mistakes_are_observations_and_its_faults_are_faults(app):
    server, options = app
    world = load_world(f"appworld/{server.url}", options)
    first = world.scenarios("train")[0]
    seen = play(world, first, following(["pay bob", code("boom"), "```\nx"], ""))
    assert [one.error and one.error.split()[0] for one in seen] == [None, "PARSE", "EXECUTION", "PARSE", "PARSE"]
    assert seen[-1].truncated
    assert server.calls[-1][0] == "close"
    server.broken = 1
    with pytest.raises(EnvError, match=r"initialize: 500 .*closed database"):
        play(world, first, following([]))
    assert total(play(world, first, following([code("pay")]))) == 0.5, "the server is free again"


def test_two_episodes_never_share_an_appworld_server(app):
    server, options = app
    world = load_world(f"appworld/{server.url}", options)
    scenarios = world.scenarios("train")

    async def one(scenario):
        session = world.open(scenario)
        await session.reset()
        for _ in range(2):
            await session.step(code("pay"))
        await session.close()

    async def both():
        await asyncio.gather(*(one(s) for s in scenarios))

    asyncio.run(both())
    tasks = [body["task_id"] for _, body in server.calls]
    assert [t for i, t in enumerate(tasks) if i == 0 or tasks[i - 1] != t] == ["82e2fac_1", "82e2fac_2", "50e1ac9_1"]


def test_what_appworld_needs_is_told(tmp_path):
    with pytest.raises(ConfigError, match="ids of its tasks"):
        load_world("appworld")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_world("appworld", {"train": str(tmp_path / "no.txt")})
    (tmp_path / "ids").write_text("\n")
    with pytest.raises(ConfigError, match="names no task"):
        load_world("appworld", {"train": str(tmp_path / "ids")})


@pytest.mark.parametrize("url", ["ftp://x", "127.0.0.1:80", "http://", "http://user@h", "http://h:x", "http://h/?a=1"])
@pytest.mark.parametrize("kind", ["openenv", "appworld"])
def test_an_address_that_is_none_is_told(kind, url, tmp_path):
    (tmp_path / "ids").write_text("a_1")
    options = {"train": str(tmp_path / "ids")} if kind == "appworld" else {}
    with pytest.raises(ConfigError, match=f"no address of a server: write it as {kind}/http://127.0.0.1"):
        load_world(f"{kind}/{url}", options)


def test_the_default_is_this_machine(tmp_path):
    (tmp_path / "ids").write_text("a_1")
    assert load_world("openenv").url == "http://127.0.0.1:8000"
    assert load_world("appworld", {"test": str(tmp_path / "ids")}).urls == ["http://127.0.0.1:8000"]
    with pytest.raises(EnvError, match="cannot be reached"):
        play(load_world("openenv/http://127.0.0.1:9"), load_world("openenv").scenarios("test")[0], following([]))


# -------------------------------------------------------------------------------------------------------- OpenEnv
SCHEMA = {
    "action": {"properties": {"message": {"type": "string"}, "metadata": {"type": "object"}}, "required": ["message"]},
    "observation": {"properties": {}},
    "state": {"properties": {}},
}


class OpenServer:
    """An OpenEnv server: guess the number that the seed says; /schema over HTTP, sessions over /ws."""

    def __init__(self, schema=None, capacity=99, show="text"):
        self.schema, self.capacity, self.show = schema or SCHEMA, capacity, show
        self.sent, self.closed, self.open = [], 0, 0
        ready = threading.Event()
        self._ready = ready
        threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True).start()
        assert ready.wait(5)

    async def serve(self):
        from websockets.asyncio.server import serve

        self.loop, self.done = asyncio.get_running_loop(), asyncio.Event()

        def http(connection, request):
            if request.path == "/schema":
                return connection.respond(200, json.dumps(self.schema))
            return None if request.path == "/ws" else connection.respond(404, "no")

        async with serve(self.session, "127.0.0.1", 0, process_request=http) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self._ready.set()
            await self.done.wait()

    def stop(self):
        self.loop.call_soon_threadsafe(self.done.set)

    async def session(self, socket):
        secret = None
        self.open += 1
        async for raw in socket:
            message = json.loads(raw)
            self.sent.append(message)
            if message["type"] == "close":
                self.closed += 1
                break
            if self.open > self.capacity:
                data = {"message": "Server at capacity", "code": "CAPACITY_REACHED"}
                await socket.send(json.dumps({"type": "error", "data": data}))
                continue
            if message["type"] == "reset":
                secret = message["data"]["seed"] % 7
                answer = self.seen("Guess a number.", None, False)
            elif not str(message["data"].get("message", "")).isdecimal():
                data = {"message": "Input should be\na number", "code": "VALIDATION_ERROR"}
                answer = {"type": "error", "data": data}
            else:
                right = int(message["data"]["message"]) == secret
                answer = self.seen("Yes." if right else "No.", 1.0 if right else 0.0, right)
            await socket.send(json.dumps(answer))
        self.open -= 1

    def seen(self, text, reward, done):
        fields = {self.show: text, "n": 1} if self.show else {"n": 1, "map": [[0]]}
        return {"type": "observation", "data": {"observation": fields, "reward": reward, "done": done}}


@pytest.fixture
def openenv():
    with contextlib.ExitStack() as stack:

        def start(**about):
            server = OpenServer(**about)
            stack.callback(server.stop)
            return server

        yield start


def test_an_openenv_episode_over_its_websocket(openenv):
    server = openenv()
    world = load_world(f"openenv/{server.url}", {"train": 5, "test": 4, "turns": 3})
    assert isinstance(world, World)
    seeds = [{s.seed for s in world.scenarios(split)} for split in world.splits]
    assert not seeds[0] & seeds[1]
    scenario = world.scenarios("test")[1]  # seed 6
    seen = play(world, scenario, following(["Let me see.\n5", "x", "6"]))
    assert [o.text for o in seen] == ["Guess a number.", "No.", "INVALID Input should be a number", "Yes."]
    assert seen[2].error == seen[2].text
    assert (total(seen), seen[-1].terminated) == (1.0, True)
    assert server.sent[0] == {"type": "reset", "data": {"seed": 6}}
    assert server.sent[1] == {"type": "step", "data": {"message": "5"}}
    assert server.sent[-1] == {"type": "close"}
    assert play(world, scenario, following([], "9"))[-1].truncated


def test_openenv_actions_may_be_json_and_observations_too(openenv):
    server = openenv(show=None)
    world = load_world(f"openenv/{server.url}", {"action": "json", "turns": 3})
    scenario = world.scenarios("train")[3]
    seen = play(world, scenario, following(["what?", 'So ```json\n{"message": "3"}\n```'], "[1]"))
    assert seen[0].text == '{"n": 1, "map": [[0]]}'
    assert seen[1].error.startswith("PARSE")
    assert seen[2].terminated
    shown = load_world(f"openenv/{server.url}", {"action": "message", "show": "map"})
    assert play(shown, scenario, following([], "3"))[0].text == "[[0]]"
    with pytest.raises(ConfigError, match="no field 'text': they have n, map"):
        play(load_world(f"openenv/{server.url}", {"show": "text"}), scenario, following([]))


def test_openenv_faults_are_faults_and_are_told(openenv):
    full = openenv(capacity=0)
    with pytest.raises(EnvError, match="CAPACITY_REACHED: Server at capacity"):
        play(load_world(f"openenv/{full.url}"), load_world("openenv").scenarios("train")[0], following([]))
    two = {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a", "b"]}
    other = openenv(schema={"action": two})
    with pytest.raises(ConfigError, match="have the fields a, b"):
        play(load_world(f"openenv/{other.url}"), load_world("openenv").scenarios("train")[0], following([]))


# ------------------------------------------------------------------------------------------------------ verifiers
VERIFIERS = '''
"""Stand-ins for the package verifiers: the classes have the attributes that its own have."""
import inspect


def reward(weight=1.0):
    def mark(f):
        f.reward, f.reward_priority, f._vf_weight = True, 0, weight
        return f

    return mark


class Data:
    def __init__(self, **fields):
        self.prompt = self.system_prompt = self.name = self.image = None
        self.__dict__.update(fields)


class Addition:
    """A task of version 1."""

    NEEDS_CONTAINER = False

    def __init__(self, data, config=None):
        self.data, self.config = data, config

    @reward()
    async def exact_match(self, trace) -> float:
        return float(trace.last_reply == str(self.data.answer))

    @reward(weight=0.5)
    def short(self, task, trace):
        return {"short": float(len(trace.last_reply) < 5), "asked": float(task is self.data) * 0.0}


class Config:
    num_tasks = 10


class AdditionTaskset:
    def __init__(self, config):
        self.config = config

    @classmethod
    def config_type(cls):
        return Config

    def load(self):
        for i in range(self.config.num_tasks):
            yield Addition(Data(idx=i, prompt=f"What is {i} + {i}?", answer=2 * i, system_prompt="Add."))


class Endless(AdditionTaskset):
    def load(self):
        import itertools

        for i in itertools.count():
            yield Addition(Data(idx=i, prompt=f"What is {i} + {i}?", answer=2 * i))


class Boxed(AdditionTaskset):
    NEEDS_CONTAINER = True


class Running(Addition):
    @reward()
    async def runs(self, trace, runtime):
        return 1.0


class Runtime(AdditionTaskset):
    def load(self):
        return [Running(Data(prompt="x", answer=1))]


class Rubric:
    def __init__(self, funcs, weights):
        self.funcs, self.weights, self.parser = funcs, weights, None


class Guess:
    """An environment of version 0 with several turns."""

    max_turns = 4

    def __init__(self):
        said = [[{"role": "user", "content": f"Guess {i}."}] for i in range(5)]
        self.dataset = [{"prompt": said[i], "answer": str(i), "info": {}} for i in range(5)]
        self.eval_dataset = self.dataset[:2]
        self.rubric = Rubric([self.right, lambda completion, **kw: float(len(completion))], [1.0, 0.1])

    @staticmethod
    async def right(completion, answer, state):
        return float(answer in completion[-1]["content"])

    async def is_completed(self, messages, state, **kwargs):
        return state["answer"] in messages[-1]["content"]

    async def env_response(self, messages, state, **kwargs):
        return [{"role": "user", "content": f"No, not in turn {state['turn']}."}], state


def load_environment():
    return Guess()


def nothing():
    return 3
'''


@pytest.fixture
def verifiers(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(VERIFIERS)
    return lambda name, **options: load_world(f"verifiers/{file}:{name}", options)


def test_a_taskset_of_verifiers_is_judged_by_its_rewards(verifiers):
    world = verifiers("AdditionTaskset")
    assert isinstance(world, World)
    assert (len(world.scenarios("train")), len(world.scenarios("test"))) == (8, 2)
    scenario = world.scenarios("test")[1]
    assert scenario.instruction == "What is 9 + 9?"
    right = play(world, scenario, following(["18"]))
    assert right[0].text == "Add.\n\nWhat is 9 + 9?"
    assert (total(right), right[-1].terminated, len(right)) == (1.5, True, 2)
    assert total(play(world, scenario, following(["It is 18."]))) == 0.0
    assert len(verifiers("Endless", train=50).scenarios("train")) == 50


def test_an_environment_of_verifiers_with_several_turns(verifiers):
    world = verifiers("load_environment")
    assert (world.turns, len(world.scenarios("train")), len(world.scenarios("test"))) == (4, 5, 2)
    scenario = world.scenarios("train")[3]
    seen = play(world, scenario, following(["1", "2", "3"]))
    assert [o.text for o in seen] == ["Guess 3.", "No, not in turn 1.", "No, not in turn 2.", ""]
    assert total(seen) == pytest.approx(1.0 + 0.1 * 5)
    lost = play(world, scenario, following([], "0"))
    assert (lost[-1].truncated, len(lost)) == (True, 5)


def test_what_is_not_served_of_verifiers_is_refused_in_words(verifiers):
    for name, why in {
        "Boxed": "needs a container", "Runtime": "reward runs needs a runtime", "nothing": "makes a int: neither",
        "Missing": "no callable 'Missing'",
    }.items():  # fmt: skip
        with pytest.raises(ConfigError, match=why):
            verifiers(name)
    with pytest.raises(ConfigError, match="needs the name of a taskset"):
        load_world("verifiers")


def test_a_run_that_names_code_or_a_server_is_asked_about():
    """What a stored run of somebody's names is not imported, nor asked, without a word."""
    from operant.run.made_here import _is_known

    assert _is_known(("task", "id"), "text/quests")
    for name in ("verifiers/mine.py:make", "openenv/http://10.0.0.1:8000", "appworld/http://h:1"):
        assert not _is_known(("task", "id"), name), name
