"""Workers: every answer is that of its own request, or the worker is ended and says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from operant.config.errors import OperantError
from operant.workers.pool import RequestFailed, Worker, WorkerLost, WorkerPool, WorkerTimeout, ready


@pytest.fixture
def start():
    """Starts workers that have begun, and ends them when the test is over."""
    workers = []

    def begin(timeout=20.0, **settings):
        workers.append(Worker("reference.odd_service", settings, timeout))
        assert bytes(workers[-1].receive()).decode() == str(settings.get("greeting", ""))
        return workers[-1]

    yield begin
    for worker in workers:
        worker.close()


def ask(worker, text, seconds=None):
    worker.send(b"q", text.encode(), seconds=seconds)
    return bytes(worker.receive()).decode()


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(*pids, seconds=10.0):
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))


def test_answers_of_any_length_are_those_of_their_requests(start):
    worker = start(greeting="hello")
    assert ask(worker, "echo a") == "a"
    for size in (0, 1, 5000, 3_000_000, 2, 256, 255, 257, 1):
        assert ask(worker, f"large {size}") == "x" * size
        assert ask(worker, "echo " + "y" * size) == "y" * size


# --- answers that are not asked for ---


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ("d:1:late", "answered request 1 when request 2 was open"),
        ("d:3:early", "answered request 3 when request 2 was open"),
        ("r:1:why", "answered request 1 when request 2 was open"),
        ("q:2:echo", "wrote to its socket what is no answer"),
    ],
)
def test_an_answer_to_another_request_is_refused(start, frames, why):
    worker = start()
    with pytest.raises(WorkerLost, match=why):
        ask(worker, f"write {frames}")
    assert worker.process.poll() == -signal.SIGKILL
    with pytest.raises(WorkerLost, match=why):  # and it stays so
        ask(worker, "echo a")


@pytest.mark.parametrize("frames", ["d:2:first", "d:2:first,d:2:second"])
def test_two_answers_to_one_request_are_never_taken_for_those_of_two(start, frames):
    """The first is what the process said; the second never is what it said to the next request."""
    worker = start()
    said = []
    with pytest.raises(
        WorkerLost, match=r"more to its socket than one answer|answered request 2 when request 3 was open"
    ):
        said.extend(ask(worker, text) for text in (f"write {frames}", "echo a"))
    assert said in ([], ["first"])
    assert worker.process.poll() == -signal.SIGKILL


def test_bytes_that_are_no_frame_are_refused(start):
    worker = start()
    with pytest.raises(WorkerLost, match="wrote to its socket what is no answer"):
        ask(worker, "noise \x00talk")


def test_an_answer_that_comes_after_its_time_is_not_the_answer_to_the_next_request(start):
    worker = start()
    with pytest.raises(WorkerTimeout, match="did not answer in time") as caught:
        ask(worker, "wait 1.0", seconds=0.3)
    assert caught.value.seconds == 0.3
    time.sleep(1.0)
    with pytest.raises(WorkerTimeout):
        ask(worker, "echo a")
    assert worker.process.poll() == -signal.SIGKILL


def test_an_answer_that_nobody_waited_for_is_not_the_answer_to_the_next_request(start):
    worker = start()

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            ask(worker, "wait 0.5")
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(WorkerLost, match="answered request 2 when request 3 was open; it was ended"):
        ask(worker, "echo a")


@pytest.mark.parametrize("how", ["fork 0.3", "fork 0", "fork_raise x"])
def test_a_forked_child_that_comes_back_does_not_answer(start, how):
    worker = start()
    for number in range(20):
        assert ask(worker, how) == "of the parent"
        assert ask(worker, f"echo {number}") == str(number)
    time.sleep(0.4)
    assert ask(worker, "echo after") == "after"


# --- what a user's code does ---


@pytest.mark.parametrize(
    ("how", "reason", "raised"),
    [
        ("refuse in its own words", r"^in its own words$", False),
        ("raises é\udc80", r"^raised ValueError: é.* \(.*odd_service.py:\d+\)$", True),
        ("leave 3", r"^raised SystemExit: 3 \(", True),
        ("interrupt x", r"^raised KeyboardInterrupt:", True),
        ("unknown", r"^raised AttributeError: ", True),
    ],
)
def test_what_raises_is_an_answer(start, how, reason, raised):
    worker = start()
    worker.send(b"q", how.encode("utf-8", "backslashreplace"))
    with pytest.raises(RequestFailed, match=reason) as caught:
        worker.receive()
    assert caught.value.raised == raised
    assert ask(worker, "echo a") == "a"


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("exit 7", "exited with code 7"),
        ("exit 0", "exited with code 0"),
        ("kill x", "was killed by signal 9"),
        ("kill_group x", "was killed by signal 15"),  # its own group, which is not ours
        ("shut x", "closed its connection to this one"),
    ],
)
def test_what_ends_the_process_is_told(start, how, reason):
    worker = start()
    with pytest.raises(WorkerLost, match=reason):
        ask(worker, how)
    assert worker.process.poll() is not None


def test_what_is_printed_is_not_our_output(start, capfd):
    assert ask(start(), "prints a") == "a"
    told = capfd.readouterr()
    assert not told.out
    assert "a service that talks" in told.err
    assert "a program that talks" in told.err


@pytest.mark.parametrize("end", ["close", "late", "kill"])
def test_what_a_worker_started_ends_with_it(start, end):
    worker = start()
    pids = [int(pid) for pid in ask(worker, "start_programs x").split()]
    assert all(map(alive, pids))
    if end == "close":
        worker.close()
    else:
        with pytest.raises(WorkerLost):
            ask(worker, "wait 60" if end == "late" else "kill x", seconds=0.2 if end == "late" else None)
    assert gone(*pids)


def test_a_program_that_holds_what_it_inherited_does_not_hide_the_end_of_its_worker(start):
    worker = start()
    ask(worker, "start_programs x")
    begun = time.monotonic()
    with pytest.raises(WorkerLost, match="exited with code 5"):
        ask(worker, "exit 5")
    assert time.monotonic() - begun < 10  # and not when its time was up


def test_nothing_outlives_a_killed_parent():
    script = """
        import time
        from operant.workers.pool import Worker
        worker = Worker("reference.odd_service", {}, 20.0)
        worker.receive()
        worker.send(b"q", b"start_programs x")
        print(worker.process.pid, bytes(worker.receive()).decode(), flush=True)
        worker.send(b"q", b"wait 600", seconds=600.0)
        worker.receive()
    """
    path = os.pathsep.join(path for path in sys.path if path)
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 3
    assert all(map(alive, pids))
    parent.kill()
    parent.wait()
    assert gone(*pids)


def test_a_fork_of_the_parent_ends_no_worker(start):
    worker = start()
    child = os.fork()
    if child == 0:
        worker.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert ask(worker, "echo a") == "a"


# --- pools ---


class Odd(WorkerPool[Worker]):
    restarts = 1

    def start(self, index):
        return Worker("reference.odd_service", {}, 20.0)

    def spend(self, cause):
        if not self.restarts:
            raise OperantError(cause)
        self.restarts -= 1


def test_a_pool_replaces_within_its_budget_and_ends_with_its_owner():
    pool = Odd()
    pool.grow(2)
    first, second = pool.workers
    first.receive()
    second.receive()
    other = pool.replace(0, "it broke")
    assert first.process.poll() is not None
    assert other is pool.workers[0]
    other.receive()
    with pytest.raises(OperantError, match="it broke"):
        pool.replace(1, "it broke")
    processes = [worker.process for worker in pool.workers]
    del pool
    assert all(process.poll() is not None for process in processes)


def test_ready_are_those_that_have_answered_or_are_late(start):
    workers = [start() for _ in range(3)]
    for worker, text in zip(workers, ("echo a", "wait 60", "wait 60"), strict=True):
        worker.send(b"q", text.encode(), seconds=20.0)
    assert ready(workers) == workers[:1]
    workers[2].send(b"q", b"echo b", seconds=0.0)
    assert workers[2] in ready(workers)
