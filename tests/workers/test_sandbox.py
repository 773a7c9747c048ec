"""The sandbox: what code asks for arrives, what it takes does not; nothing of one interpreter is seen by the next."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import struct
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from operant.config.errors import ConfigError, EnvError
from operant.workers.sandbox import LAYERS, Limits, Refused, Sandbox
from operant.workers.sandbox_wire import FRAME, Frames, NoMessage, encode
from operant.workers.seccomp import AARCH64, X86_64, program

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the filter and /proc are Linux's")


class Handler:
    """Answers, and remembers what was asked."""

    secret = "gold-7f3a"

    def __init__(self):
        self.asked = []

    def __call__(self, name, args, kwargs):
        self.asked.append((name, args, kwargs))
        if name == "shop.refuse":
            raise Refused(422, "no such thing")
        if name == "fault":
            raise ZeroDivisionError("ours")
        return {"args": args, "kwargs": kwargs}


STUBBORN = "while True:\n    try:\n        sum(range(10**5))\n    except BaseException: pass"
NAMES = ["shop.buy", "shop.refuse", "fault", "plain"]


@pytest.fixture(scope="module")
def box():
    """A sandbox with short limits."""
    with Sandbox(NAMES, limits=Limits(seconds=1.0, grace=0.3, calls=50, output=500, memory=256 << 20)) as made:
        yield made


@pytest.fixture
def shell(box):
    """A fresh interpreter and its handler."""
    handler = Handler()
    made = box.open(handler)
    made.handler = handler
    yield made
    made.close()


def run(shell, code):
    return shell.run(textwrap.dedent(code))


# --- what honest code finds ---


def test_variables_stay_and_output_is_what_was_printed(shell):
    assert run(shell, "x = [1, 2]\nprint('a')\nprint('b', end='')").text == "a\nb"
    assert run(shell, "print(sum(x))").text == "3\n"
    done = run(shell, "x")
    assert (done.text, done.total, done.error, done.ended) == ("", 0, None, None)


def test_calls_arrive_with_their_arguments_and_refusals_are_raised(shell):
    done = run(shell, "print(shop.buy(1, b='é\\ud800'))\nprint(plain())")
    assert done.text.startswith("{'args': [1], 'kwargs': {'b': 'é")
    assert [name for name, _, _ in shell.handler.asked] == ["shop.buy", "plain"]
    caught = run(shell, "try:\n    shop.refuse()\nexcept ApiError as e:\n    print(e.code, e.message)")
    assert caught.text == "422 no such thing\n"
    assert run(shell, "shop.refuse()").error.endswith("ApiError: 422: no such thing")
    assert "shop has no 'sell': it has buy, refuse" in run(shell, "shop.sell()").error


def test_a_traceback_shows_the_lines_of_the_block_alone(shell):
    error = run(shell, "def f(x):\n    return 1 / x\nf(0)").error
    assert error.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert 'File "<block 1>", line 2, in f' in error
    assert "return 1 / x" in error
    assert "sandbox" not in error
    assert "SyntaxError" in run(shell, "def").error
    assert len(run(shell, "def g(): g()\ng()").error) < 4_001


def test_output_is_cut_and_counted(shell):
    done = run(shell, "print('x' * 100_000)")
    assert done.text == "x" * 500
    assert done.total == 100_001


def test_more_calls_than_a_block_may_make_are_refused(shell):
    code = "n = 0\nfor _ in range(60):\n    try:\n        plain()\n        n += 1\n    except ApiError: pass\nprint(n)"
    done = run(shell, code)
    assert done.text.split() == ["50"]
    assert len(shell.handler.asked) == 50
    assert run(shell, "plain()").error is None  # the next block may again


def test_a_late_block_is_interrupted_and_its_variables_stay(shell):
    run(shell, "x = 5")
    assert run(shell, "while True: pass").error.endswith("TimeoutError: the block takes too long")
    assert run(shell, "print(x)").text == "5\n"


def test_a_block_that_cannot_be_interrupted_costs_its_process(shell):
    run(shell, "x = 5")
    start = time.monotonic()
    done = run(shell, STUBBORN)
    assert done.ended == "it took longer than 1 s"
    assert time.monotonic() - start < 3
    assert run(shell, "print('x' in globals())").text == "False\n"
    assert shell.lost == 1


def test_a_fault_of_the_handler_is_ours(shell):
    with pytest.raises(ZeroDivisionError, match="ours"):
        run(shell, "fault()")


def test_blocks_run_side_by_side_and_a_cancelled_one_ends(box):
    async def main():
        shells = [box.open(Handler()) for _ in range(8)]
        start = time.monotonic()
        done = await asyncio.gather(
            *(s.arun(f"import time\ntime.sleep(0.2)\nprint({i})") for i, s in enumerate(shells))
        )
        assert [d.text for d in done] == [f"{i}\n" for i in range(8)]
        assert time.monotonic() - start < 1.2
        with pytest.raises(ZeroDivisionError):
            await shells[0].arun("fault()")
        task = asyncio.ensure_future(shells[1].arun("import time\ntime.sleep(0.9)"))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await shells[1].arun("print(1)")).text == "1\n"
        late = await shells[2].arun(STUBBORN)
        assert late.ended == "it took longer than 1 s"
        for number in (0, 2, 3):  # descriptors are used again
            lost = await shells[number].arun("import os\nos._exit(0)")
            assert lost.ended == "its process ended"
            assert (await shells[number].arun("print(4)")).text == "4\n"
        for s in shells:
            s.close()

    asyncio.run(main())


def test_threads_may_open_interpreters_of_one_sandbox(box):
    said = []

    def work(n):
        for k in range(10):
            shell = box.open(Handler())
            said.append(shell.run(f"print({n} * 100 + {k})").text)
            shell.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, said)) == sorted(100 * n + k for n in range(4) for k in range(10))


def test_equal_code_prints_equally_in_every_interpreter(box):
    code = "import random\nprint(random.random(), {'a', 'b', 'c', 'd'}, hash('x'))"
    shells = [box.open(Handler()) for _ in range(3)]
    assert len({shell.run(code).text for shell in shells}) == 1
    with Sandbox() as other:
        assert other.open(Handler()).run(code).text == box.open(Handler()).run(code).text


def test_names_and_modules_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="cannot offer 'a-b'"):
        Sandbox(["a-b"])
    with pytest.raises(EnvError, match="does not start"):
        Sandbox(preload=["no_such_module_at_all"])


@pytest.mark.parametrize("how", ["close", "kill"])
@pytest.mark.parametrize("layers", [LAYERS, ["filter", "hook"], []])
def test_the_end_of_the_sandbox_ends_its_processes_and_is_our_fault(how, layers):
    made = Sandbox(NAMES, layers=layers)
    shell, busy = made.open(Handler()), made.open(Handler())
    shell.run("x = 1")
    caught = []

    def work():
        with contextlib.suppress(EnvError):
            caught.append(busy.run("while True: pass"))

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.1)
    assert made.alive
    below = _below(made.process.pid) if sys.platform == "linux" else []
    if how == "close":
        made.close()
    else:
        made.process.kill()
        made.process.wait()
    thread.join(5.0)
    assert not thread.is_alive()
    assert not caught, "a block of a sandbox that is gone has no outcome"
    assert not made.alive
    with pytest.raises(EnvError, match="own process is gone"):
        shell.run("print(1)")
    end = time.monotonic() + 5
    while any(map(_lives, below)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(_lives, below))
    made.close()


def _below(pid):
    """The processes that descend from one."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(place.parent.name)] = int(place.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- what code may not: each attack prints BROKEN where it gets through ---

FIND = """
import sys, gc
libc = None
for module in list(sys.modules.values()):
    for value in list(vars(module).values()):
        if type(value).__name__ == "CDLL":
            libc = value
"""
"""The C library, which the process that forks has loaded: with it code gets around Python's own hooks."""

SOUGHT = "sought = ''.join(['gold-', '7f3a'])\n"

ATTACKS = {
    "open a file": "print('BROKEN', open('/etc/passwd').read()[:10])",
    "open by descriptor": "import os\nprint('BROKEN', os.open('/etc/passwd', 0))",
    "write a file": "open('/tmp/broken', 'w').write('x')\nprint('BROKEN')",
    "list a folder": "import os\nprint('BROKEN', os.listdir('/'))",
    "remove a file": "import os\nos.remove('/tmp/kept')\nprint('BROKEN')",
    "the parent's environment": "import os\nprint('BROKEN', open(f'/proc/{os.getppid()}/environ').read())",
    "the parent's memory": "import os\nprint('BROKEN', open(f'/proc/{os.getppid()}/mem', 'rb'))",
    "its own environment": "import os\nprint('BROKEN' if 'PATH' in os.environ or 'HOME' in os.environ else 'kept')",
    "os.system": "import os\nprint('BROKEN' if os.system('true') == 0 else 'kept')",
    "os.popen": "import os\nprint('BROKEN', os.popen('id').read())",
    "exec": "import os\nos.execv('/bin/sh', ['sh'])\nprint('BROKEN')",
    "spawn": "import _posixsubprocess\nimport os\nr, w = os.pipe()\nprint('BROKEN')",
    "subprocess": "import subprocess\nprint('BROKEN', subprocess.run(['id']))",
    "fork": "import os\nprint('BROKEN', os.fork())",
    "fork bomb": "import os\nwhile True:\n    os.fork()\n    print('BROKEN')",
    "threads": "import threading\nt = threading.Thread(target=print, args=('BROKEN',))\nt.start()\nt.join()",
    "raw thread": "import _thread, time\n_thread.start_new_thread(lambda: None, ())\nprint('BROKEN')",
    "socket": "import socket\nprint('BROKEN', socket.socket())",
    "raw socket module": "import _socket\nprint('BROKEN', _socket.socket(2, 1))",
    "connect": "import socket\nsocket.create_connection(('127.0.0.1', 80))\nprint('BROKEN')",
    "signal to the parent": "import os\nos.kill(os.getppid(), 9)\nprint('BROKEN')",
    "signal to all": "import os\nos.kill(-1, 9)\nprint('BROKEN')",
    "signal to a group": "import os\nos.killpg(0, 9)\nprint('BROKEN')",
    "raise the limits": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nprint('BROKEN')",
    "become root": "import os\nos.setuid(0)\nprint('BROKEN')",
    "change root": "import os\nos.chroot('/')\nprint('BROKEN')",
    "duplicate descriptors": "import os\nprint('BROKEN', os.dup(3))",
    "import from a path": "import sys\nsys.path.append('/usr/lib/python3.11')\nimport antigravity\nprint('BROKEN')",
    "import ctypes": "import ctypes\nprint('BROKEN' if ctypes.CDLL(None).getppid() > 0 else 'kept')",
    "a library by the loader": "import _ctypes\nprint('BROKEN', _ctypes.dlopen('libutil.so.1', 1))",
    "C: open": FIND + "print('BROKEN' if libc.open(b'/etc/passwd', 0) >= 0 else 'kept')",
    "C: system": FIND + "print('BROKEN' if libc.system(b'true') == 0 else 'kept')",
    "C: kill": FIND + "print('BROKEN' if libc.kill(libc.getppid(), 0) == 0 else 'kept')",
    "C: socket": FIND + "print('BROKEN' if libc.socket(2, 1, 0) >= 0 else 'kept')",
    "C: fork": FIND + "print('BROKEN' if libc.fork() >= 0 else 'kept')",
    "C: ptrace": FIND + "print('BROKEN' if libc.ptrace(16, libc.getppid(), 0, 0) == 0 else 'kept')",
    "C: read another's memory": FIND + "print('BROKEN' if libc.syscall(310, 1, 0, 0, 0, 0, 0) >= 0 else 'kept')",
    "C: undo the filter": FIND + "print('BROKEN' if libc.prctl(22, 0, 0, 0, 0) == 0 else 'kept')",
    "C: io_uring": FIND + "print('BROKEN' if libc.syscall(425, 8, 0) >= 0 else 'kept')",
    "C: x32 calls": FIND + "print('BROKEN' if libc.syscall(0x40000000 + 2, b'/etc/passwd', 0) >= 0 else 'kept')",
    "C: unshare": FIND + "print('BROKEN' if libc.unshare(0x10000000) == 0 else 'kept')",
    "C: memfd": FIND + "print('BROKEN' if libc.syscall(319, b'x', 0) >= 0 else 'kept')",
    "the zygote's socket": """
import os
for fd in range(4, 64):
    try:
        os.write(fd, b'F' + bytes(8))
        print('BROKEN')
    except OSError: pass
""",
    "objects by the collector": SOUGHT + "import gc\nprint('BROKEN' if sought in repr(gc.get_objects()) else 'kept')",
    "objects by frames": """
import sys
f, seen = sys._getframe(), ''
while f:
    seen += repr(f.f_globals) + repr(f.f_locals)
    f = f.f_back
print('BROKEN' if ''.join(['gold-', '7f3a']) in seen else 'kept')
""",
    "objects by attributes": SOUGHT + """
seen = repr([c.__subclasses__() for c in object.__subclasses__() if c is not type])
print('BROKEN' if sought in seen or 'test_sandbox' in seen else 'kept')
""",
    "the handler behind a stub": SOUGHT + """
seen = repr([c.cell_contents for c in shop.buy.__closure__])
print('BROKEN' if sought in seen or 'Handler' in seen else 'kept')
""",
    "audit hooks of its own": "import sys\nsys.addaudithook(lambda *a: None)\nopen('/etc/passwd')\nprint('BROKEN')",
    "a tracer": "import sys\nsys.settrace(lambda *a: None)\nprint(open('/etc/passwd') and 'BROKEN')",
}  # fmt: skip


@pytest.fixture(scope="module")
def bare():
    """A sandbox of the filter alone: no namespaces, no other user, and none of Python's own hooks."""
    with Sandbox(NAMES, limits=Limits(seconds=1.0, grace=0.3), layers=["filter"]) as made:
        assert not {"namespaces", "nobody", "hook"} & set(made.kept_by)
        if "filter" not in made.kept_by:
            pytest.skip("this kernel has no filter")
        yield made


@LINUX
@pytest.mark.parametrize("layers", ["box", "bare"])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_does_not_get_through(name, layers, request, tmp_path):
    box = request.getfixturevalue(layers)
    kept = tmp_path / "kept"
    kept.write_text("x")
    shell = box.open(handler := Handler())
    done = shell.run(ATTACKS[name].replace("/tmp/", f"{tmp_path}/"))
    assert "BROKEN" not in done.text, done
    assert done.text in ("kept\n", "") or done.error is not None or done.ended is not None, done
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    assert handler.asked == []
    assert box.process.poll() is None
    assert box.open(Handler()).run("print(1)").text == "1\n"  # and the next one finds all as it was
    shell.close()


def test_there_are_forty_attacks():
    assert len(ATTACKS) + len(ENDED) + len(FORGED) >= 40


ENDED = {
    "memory": "x = []\nwhile True:\n    x.append(bytearray(1 << 20))",
    "memory at once": "x = ' ' * (1 << 40)",
    "recursion": "def f(): f()\nf()",
    "recursion without a bound": "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
    "nested beyond the parser": "code = '(' * 100_000 + ')' * 100_000\ncompile(code, 'x', 'eval')",
    "segmentation fault": FIND + "libc.memset(0, 0, 1)",
    "abort": "import os\nos.abort()",
    "exit": "import os\nos._exit(0)",
    "exit by exception": "raise SystemExit(3)",
    "close the pipe": "import os\nos.close(3)",
    "endless loop": "while True: pass",
    "endless sum": "sum(iter(int, 1))",
    "large power": "x = 10 ** 10 ** 9",
    "sleep": "import time\nwhile True:\n    try:\n        time.sleep(100)\n    except BaseException: pass",
    "read the pipe": "import os\nos.read(3, 10)",
    "no stop by signals": "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass",
}


@LINUX
@pytest.mark.parametrize("name", ENDED)
def test_whatever_a_block_does_there_is_an_outcome_and_the_next_one_runs(name, box):
    shell = box.open(Handler())
    start = time.monotonic()
    done = shell.run(ENDED[name])
    assert time.monotonic() - start < 4
    assert done.error is not None or done.ended is not None
    after = shell.run("print(2)")
    assert after.text == "2\n" or after.ended is not None
    assert shell.run("print(3)").text == "3\n"
    shell.close()


FORGED = {
    "no frame": "os.write(3, b'hello world, this is no frame at all')",
    "a frame too long": "os.write(3, struct.pack('<I', 1 << 31) + b'x')",
    "no JSON": "os.write(3, struct.pack('<I', 3) + b'{a}')",
    "no object": "os.write(3, struct.pack('<I', 4) + b'[[]]')",
    "deep JSON": "os.write(3, struct.pack('<I', 60000) + b'[' * 60000)",
    "large numbers": "os.write(3, struct.pack('<I', 6000) + b'1' * 6000)",
    "another kind": "frame({'reward': 1.0})",
    "the outcome of another block": "frame({'done': 7, 'text': 'x', 'total': 1, 'error': None})",
    "an outcome of other types": "frame({'done': 1, 'text': 5, 'total': 1, 'error': None})",
    "arguments of other types": "frame({'call': 'plain', 'args': 3, 'kwargs': {}})",
    "bytes that are no text": "os.write(3, struct.pack('<I', 4) + b'\\xff\\xfe\\xfd\\xfc')",
}


@LINUX
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_frame_ends_the_process(name, box):
    head = "import os, json\nfrom _struct import pack\nclass struct: pack = pack\n"
    head += "def frame(x):\n    b = json.dumps(x).encode()\n    os.write(3, pack('<I', len(b)) + b)\n"
    shell = box.open(handler := Handler())
    done = shell.run(head + FORGED[name])
    assert done.ended is not None
    assert "no message" in done.ended
    assert handler.asked == []
    assert shell.run("print(1)").text == "1\n"
    shell.close()


@LINUX
def test_a_forged_outcome_says_nothing_that_code_could_not_print(box):
    code = """
    import os, json
    from _struct import pack
    b = json.dumps({"done": 1, "text": "y" * 9000, "total": -5, "error": None}).encode()
    os.write(3, pack("<I", len(b)) + b)
    """
    shell = box.open(Handler())
    done = shell.run(textwrap.dedent(code))
    assert done.text == "y" * 500
    assert done.total >= 500
    assert shell.run("print(1)").ended is not None  # the true outcome of the first block is none of the second
    assert shell.run("print(1)").text == "1\n"
    shell.close()


@LINUX
def test_a_flood_of_calls_ends_the_process(box):
    shell = box.open(handler := Handler())
    done = shell.run("while True:\n    try:\n        plain()\n    except ApiError: pass")
    assert "call after call" in done.ended
    assert len(handler.asked) == 50
    flood = "import os, json\nfrom _struct import pack\n"
    flood += "b = json.dumps({'call': 'plain', 'args': [], 'kwargs': {}}).encode()\n"
    done = shell.run(flood + "while True:\n    os.write(3, pack('<I', len(b)) + b)")
    assert done.ended is not None
    assert shell.run("print(1)").text == "1\n"
    shell.close()


@LINUX
def test_nothing_of_one_interpreter_is_seen_by_the_next(box):
    first, second = box.open(Handler()), box.open(Handler())
    first.run("import builtins, json, sys\nbuiltins.leak = 1\njson.leak = 2\nsys.modules['leak'] = json\nmine = 3")
    first.close()
    code = "import builtins, json, sys\nprint(hasattr(builtins, 'leak'), hasattr(json, 'leak'), 'leak' in sys.modules, "
    code += "'mine' in globals())"
    assert second.run(code).text == "False False False False\n"
    assert box.open(Handler()).run(code).text == "False False False False\n"
    second.close()


@LINUX
def test_without_a_filter_other_layers_keep_network_and_files_of_ours(tmp_path):
    """What the docstring says of a system without a filter: what anybody may read can be read, no more."""
    with Sandbox(NAMES, limits=Limits(seconds=1.0), layers=["namespaces", "nobody"]) as box:
        assert "filter" not in box.kept_by
        own = tmp_path / "own"
        own.write_text("x")
        own.chmod(0o600)
        shell = box.open(Handler())
        if "nobody" in box.kept_by:
            assert "Too many open files" in shell.run(f"open({str(own)!r})").error
            assert shell.run("import os\nos.close(0)\nprint(open('/etc/passwd').read(4))").text == "root\n"
            assert "Permission denied" in shell.run(f"open({str(own)!r})").error
            assert "Permission denied" in shell.run(f"open('/proc/{os.getpid()}/environ')").error
        if "namespaces" in box.kept_by:
            assert shell.run("import os\nprint(os.getppid())").text == "1\n"
            assert shell.run("import os\nos.kill(-1, 9)").ended is None
            connect = "import _socket\ns = _socket.socket()\ns.connect(('127.0.0.1', 9))"
            assert "OSError" in shell.run(connect).error
        assert "Resource temporarily unavailable" in shell.run("import os\nos.fork()").error
        assert shell.run("open('/tmp/x_of_a_sandbox', 'w').write('x')").error is not None
        Path("/tmp/x_of_a_sandbox").unlink(missing_ok=True)


@LINUX
def test_what_keeps_code_in_is_said(box):
    assert {"limits", "hook"} <= set(box.kept_by)
    if platform.machine() in ("x86_64", "aarch64"):
        assert "filter" in box.kept_by


# --- the wire and the filter ---


def test_frames_are_cut_where_they_end_however_they_arrive():
    sent = [{"a": 1}, {"b": "é" * 1000}, {}]
    stream = b"".join(map(encode, sent))
    for size in (1, 3, 7, 1000, len(stream)):
        frames, got = Frames(), []
        for i in range(0, len(stream), size):
            got += frames.feed(stream[i : i + size])
        assert got == sent
    with pytest.raises(NoMessage, match="too long"):
        list(Frames().feed(struct.pack("<I", FRAME + 1)))
    with pytest.raises(ValueError, match="JSON"):
        encode({"x": float("nan")})


def _decide(lines, machine_arch, number):
    """A slow interpreter of the filter's few instructions."""
    at, word = 0, 0
    while True:
        code, yes, no, k = struct.unpack_from("<HBBI", lines, 8 * at)
        at += 1
        if code == 0x20:
            word = {0: number, 4: machine_arch}[k]
        elif code == 0x15:
            at += yes if word == k else no
        else:
            return k


@pytest.mark.parametrize(
    ("machine", "arch", "table"), [("x86_64", 0xC000003E, X86_64), ("aarch64", 0xC00000B7, AARCH64)]
)
def test_the_filter_allows_its_list_and_nothing_else(machine, arch, table):
    lines = program(machine)
    for number in [*range(600), *range(0x40000000, 0x40000000 + 600)]:
        assert (_decide(lines, arch, number) == 0x7FFF0000) == (number in table.values()), number
    assert _decide(lines, 0x40000003, 1) == 0x80000000  # another table of calls
    assert program("sparc") == b""


def test_the_child_needs_nothing_but_the_standard_library():
    file = Path(__file__).parents[2] / "src/operant/workers/sandbox_child.py"
    code = f"import runpy, sys; runpy.run_path({str(file)!r}, run_name='probe')"
    code += "; print([m for m in sys.modules if m[:7] == 'operant'])"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []
