"""Commands in processes that are forked from one that has imported everything: each starts in milliseconds.

`Forks` starts that process; `command` gives a handle on one command line in it, run as the `operant` command runs it.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import operant

SERVER = r"""
import importlib, json, os, sys, time
import operant.api, operant.cli.main, operant.cli.compare, operant.cli.parser, operant.cli.seeds
import operant.view.report, operant.view.compare_page, operant.cli.solve, operant.mdp, gymnasium
for name in json.loads(sys.argv[1]):
    try: importlib.import_module(name)
    except ImportError: pass

def stalled(where, marker):
    module, name = where.split(":")
    holder = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path: holder = getattr(holder, part)
    def stall(*args, **kwargs):
        open(marker, "w").close()
        end = time.monotonic() + 60
        while time.monotonic() < end: time.sleep(0.01)
    setattr(holder, last, stall)

def run(asked):
    os.setsid()
    os.chdir(asked["cwd"])
    os.environ.update(asked["env"])
    for name in asked["without"]: os.environ.pop(name, None)
    for number, target in enumerate(asked["streams"]):
        if target is None: os.close(number)
        else: os.dup2(os.open(target, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644), number)
    import signal
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    for name in asked["ignored"]: signal.signal(getattr(signal, name), signal.SIG_IGN)
    encoding = asked["env"].get("PYTHONIOENCODING", "utf-8")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if asked["streams"][number] is None: setattr(sys, name, None)
        else: setattr(sys, name, open(number, "w" if number else "r", encoding=encoding, closefd=False))
    if asked["stall"]: stalled(*asked["stall"])
    sys.argv = ["operant", *asked["argv"]]
    if asked["code"]: exec(asked["code"], {"__name__": "__main__"})
    else: operant.cli.main.entry()

for line in sys.stdin:
    asked = json.loads(line)
    if os.fork() == 0:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                run(asked)
                code = 0
            except SystemExit as stop: code = stop.code or 0
            except BaseException:
                import traceback
                os.write(2, traceback.format_exc().encode())
            for stream in (sys.stdout, sys.stderr):
                try: stream is None or stream.flush()
                except Exception: code = 120
            os._exit(code)
        with open(asked["told"] + ".pid.tmp", "w") as f: f.write(str(child))
        os.rename(asked["told"] + ".pid.tmp", asked["told"] + ".pid")
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with open(asked["told"] + ".tmp", "w") as f: f.write(str(code))
        os.rename(asked["told"] + ".tmp", asked["told"])
        os._exit(0)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]: pass
    except ChildProcessError: pass
"""


class Command:
    """A command that runs: its process, what it wrote, and its exit code once it has ended (negative: by a signal)."""

    def __init__(self, told):
        self.told, self.out, self.err = told, told.with_suffix(".out"), told.with_suffix(".err")
        self.pid = int(until(lambda: text(told.with_suffix(told.suffix + ".pid"))))

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, seconds=60):
        """The exit code; the process is killed if it does not end in time."""
        try:
            return int(until(lambda: text(self.told), seconds))
        except TimeoutError:
            self.signal(signal.SIGKILL)
            raise

    @property
    def code(self):
        return self.wait()

    @property
    def ended(self):
        return self.told.exists()

    def said(self):
        """Standard output and standard error."""
        return text(self.out) + text(self.err)


class Forks:
    """The process that commands are forked from."""

    def __init__(self, folder, imports=()):
        self.folder, self.count = folder, 0
        paths = [str(Path(operant.__file__).parents[1]), str(Path(__file__).parents[1])]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        command = [sys.executable, "-c", SERVER, json.dumps(list(imports))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, env=env, cwd=folder)

    def start(self, *argv, cwd, streams=("in", "out", "err"), stall=None, env=(), without=(), ignored=(), code=""):
        """Start `operant ARGV`; streams are paths, None for a closed one, or "in", "out" and "err" for those kept.

        `stall` is ("module:function", file): the function then makes the file and does nothing for a minute.
        """
        self.count += 1
        told = self.folder / f"c{self.count}"
        kept = {"in": os.devnull, "out": str(told.with_suffix(".out")), "err": str(told.with_suffix(".err"))}
        asked = {
            "argv": [*map(str, argv)], "cwd": str(cwd), "told": str(told), "code": code, "env": dict(env),
            "streams": [kept.get(each, each) for each in streams], "without": list(without), "ignored": list(ignored),
            "stall": [stall[0], str(stall[1])] if stall else None,
        }  # fmt: skip
        self.process.stdin.write((json.dumps(asked) + "\n").encode())
        self.process.stdin.flush()
        return Command(told)

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


def until(ask, seconds=60):
    """What `ask` gives once it gives something."""
    end = time.monotonic() + seconds
    while not (found := ask()):
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)
    return found


def text(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
