"""Worker processes: the record of the in-process backend, and runs that outlive their environments."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

from operant.config.errors import EnvError
from operant.config.registry import builder_of
from operant.config.resolve import resolve
from operant.control.collector import Collector
from operant.data.streams import Streams
from operant.env import Supervisor, make
from operant.env.encoded import decode_space, encode_space
from operant.math.advantage import gae
from operant.run.evaluate import evaluate
from reference.faulty import Faulty

FAULTY = f"{Path(__file__).parents[1] / 'reference' / 'faulty.py'}:Faulty"
FIELDS = ("obs", "reward", "terminated", "truncated", "acted", "final_obs", "cost")
WAYS = ("raise", "hang", "spin", "kill", "exit", "leave", "abort")


@pytest.fixture
def made():
    """Makes environments, and closes them when the test is over."""
    envs = []

    def maker(num, env=FAULTY, *, workers=2, timeout=10.0, restarts=10, **kwargs):
        limits = Supervisor(workers=workers, timeout=timeout, restarts=restarts)
        envs.append(make(env, num, backend="process", kwargs=kwargs, supervisor=limits))
        return envs[-1]

    yield maker
    for env in envs:
        env.close()


def actions(seed, num):
    return np.random.default_rng(seed).integers(0, 3, num)


def same(one, other):
    for name in FIELDS:
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_record_is_that_of_the_loop_in_this_process(made, workers):
    ours, theirs = make(Faulty, 5), made(5, workers=workers)
    for seed in (100, 7):
        np.testing.assert_array_equal(ours.reset(seed), theirs.reset(seed))
        for t in range(100):
            same(ours.step(actions(t, 5)), theirs.step(actions(t, 5)))
    assert theirs.observation_space == ours.observation_space
    assert theirs.action_space == ours.action_space
    assert theirs.supervisor.restarted == 0


def test_training_in_workers_is_training_in_this_process():
    def rows(backend, workers):
        settings = {"env.backend": backend, "env.num": 3, "algo.horizon": 32, "algo.batch": 32, "eval.episodes": 3}
        cfg = resolve("ppo", "Pendulum-v1", overrides=settings | {"env.workers": workers}, source="argument").config
        job = builder_of("ppo")(cfg, "Pendulum-v1")
        measured = [{k: float(v) for k, v in next(job.algorithm).items()} for _ in range(3)]
        job.counter.env.close()
        returns = job.evaluate(3).returns
        job.evaluate.close()
        return [
            {k: v for k, v in row.items() if k not in ("phase/collect", "env/restarts")} for row in measured
        ], returns

    want, returns = rows("inprocess", None)
    for workers in (1, 2):
        got, also = rows("process", workers)
        assert repr(got) == repr(want)
        np.testing.assert_array_equal(also, returns)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(np.array([-1.0, -np.inf]), np.array([0.1, np.inf]), dtype=np.float64),
        spaces.Box(0, 255, (2, 3, 1), np.uint8),
        spaces.Box(-0.1, 1 / 3, (), np.float32),
        spaces.Discrete(5, start=-2),
        spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [-1, 0]]),
        spaces.MultiBinary((2, 2)),
        spaces.Dict({"b": spaces.Tuple((spaces.Discrete(2), spaces.MultiBinary(3))), "a": spaces.Box(-1, 1, (2,))}),
    ],
    ids=lambda space: type(space).__name__,
)
def test_a_space_is_sent_whole(space):
    import json

    back = decode_space(json.loads(json.dumps(encode_space(space))))
    assert back == space
    assert back.dtype == space.dtype
    if isinstance(space, spaces.Dict):
        assert list(back.spaces) == list(space.spaces)


@pytest.mark.parametrize("how", WAYS)
def test_a_worker_that_breaks_is_restarted_and_its_episodes_are_cut_where_they_were_last_seen(
    made, tmp_path, how, capfd
):
    env = made(5, how=how, copy=3, at=5, once=str(tmp_path / how), timeout=1.0)
    sound = make(Faulty, 5)
    seen = sound.reset(100)
    np.testing.assert_array_equal(env.reset(100), seen)
    for t in range(4):
        want = sound.step(actions(t, 5))
        same(env.step(actions(t, 5)), want)
        seen = want.obs
    begun = time.monotonic()
    step = env.step(actions(4, 5))
    assert time.monotonic() - begun < 1.0 + 20
    want = sound.step(actions(4, 5))
    for name in FIELDS[:-1]:  # the other worker went on
        np.testing.assert_array_equal(getattr(step, name)[:2], getattr(want, name)[:2], err_msg=name)
    assert step.acted.tolist() == [True, True, False, False, False]
    assert step.truncated[2:].all()
    assert not step.terminated[2:].any()
    assert not step.reward[2:].any()
    np.testing.assert_array_equal(step.final_obs[2:], seen[2:])
    assert step.obs[2:, 0].tolist() == [107, 108, 109]  # seeds of their own
    assert not step.obs[2:, 1:3].any()
    assert env.step(actions(5, 5)).acted.all()
    assert env.supervisor.restarted == 1
    said = capfd.readouterr().err
    assert "restarting an environment (1 of 10)" in said
    assert "copy 3, step 5" in said


CAUSES = {
    "raise": r"step\(\) raised RuntimeError: the map is gone",
    "hang": "no answer within 0.5 s",
    "kill": "killed by signal 9",
    "exit": "exited with code 7",
}


@pytest.mark.parametrize("how", CAUSES)
def test_beyond_the_budget_the_copy_the_step_and_the_cause_are_named(made, how):
    env = made(2, how=how, copy=1, at=1, timeout=0.5, restarts=1)
    env.reset(100)
    assert not env.step(actions(0, 2)).acted[1]
    env.reset(100)
    with pytest.raises(EnvError, match=rf"copy 1, step 1: .*{CAUSES[how]}.*All 1 restarts.*env\.restarts"):
        env.step(actions(0, 2))


@pytest.mark.parametrize("how", ["raise", "hang", "kill"])
def test_a_reset_that_breaks_is_tried_again(made, tmp_path, how):
    env = made(2, how=how, copy=1, at=0, where="reset", once=str(tmp_path / how), timeout=1.0)
    obs = env.reset(100)
    assert obs[:, 0].tolist() == [100, 103]
    assert env.supervisor.restarted == 1
    assert env.step(actions(0, 2)).acted.all()


def test_what_cannot_be_made_at_the_start_is_not_tried_again(capfd):
    with pytest.raises(EnvError, match="making it raised RuntimeError: the map is gone"):
        make(FAULTY, 2, backend="process", kwargs={"how": "raise", "where": "make"})
    with pytest.raises(EnvError, match="copy 0, step 0: its process was killed by signal 9"):
        make(FAULTY, 2, backend="process", kwargs={"how": "kill", "where": "make"})
    with pytest.raises(EnvError, match="there is no environment 'CartPol-v1'; nearest: CartPole"):
        make("CartPol-v1", 2, backend="process")
    assert "restarting" not in capfd.readouterr().err


def test_only_what_a_process_can_import_is_accepted():
    with pytest.raises(EnvError, match=r'cannot be imported by a worker process: .* "module:callable"'):
        make(lambda: Faulty(), 1, backend="process")
    with pytest.raises(EnvError, match=r"env\.kwargs cannot be sent"):
        make(FAULTY, 1, backend="process", kwargs={"how": object()})
    env = make(Faulty, 1, backend="process")
    np.testing.assert_array_equal(env.reset(3), make(Faulty, 1).reset(3))
    env.close()


def test_pictures_of_copy_0_come_through(made):
    pytest.importorskip("pygame")
    place = FAULTY.replace("Faulty", "pictured")
    ours = make(place, 1, backend="inprocess", render_mode="rgb_array")
    theirs = make(place, 1, backend="process", render_mode="rgb_array")
    for env in (ours, theirs):
        env.reset(1)
    assert theirs.fps == ours.fps
    np.testing.assert_array_equal(theirs.render(), ours.render())
    assert made(1).render() is None
    theirs.close()


# --- answers to other requests ---


def test_a_forked_child_that_comes_back_does_not_answer_for_its_parent(made):
    """It would answer each step a second time, and every later answer would be that of the step before."""
    env, sound = made(2, workers=1, how="fork", at=3), make(Faulty, 2)
    env.reset(100)
    sound.reset(100)
    for t in range(40):
        same(env.step(actions(t, 2)), sound.step(actions(t, 2)))
        time.sleep(0.02)
    assert env.supervisor.restarted == 0


def test_a_picture_that_comes_too_late_is_not_the_answer_to_the_next_step(made):
    env = make(FAULTY.replace("Faulty", "SlowlyDrawn"), 2, backend="process", supervisor=Supervisor(1, 0.5, 1))
    try:
        env.reset(100)
        first = env.step(actions(0, 2))
        with pytest.raises(EnvError, match=r"copy 1, step 1: no answer within 0\.5 s; its process was ended"):
            env.render()
        time.sleep(1.0)
        step = env.step(actions(1, 2))
        assert not step.acted.any()
        assert step.truncated.all()
        np.testing.assert_array_equal(step.final_obs, first.obs)
        assert step.obs[:, 0].tolist() == [102, 103]
        assert env.step(actions(2, 2)).acted.all()
        assert env.supervisor.restarted == 1
    finally:
        env.close()


def test_a_frame_of_the_environments_own_ends_its_worker(made, tmp_path, capfd):
    env = made(2, workers=1, how="write", copy=1, at=3, once=str(tmp_path / "x"))
    env.reset(100)
    steps = [env.step(actions(t, 2)) for t in range(6)]
    assert [bool(step.acted.all()) for step in steps] == [True, True, False, True, True, True]
    assert env.supervisor.restarted == 1
    assert "copy 1, step 3: its process answered request 1 when request 5 was open; it was ended" in (
        capfd.readouterr().err
    )


def test_what_an_environment_prints_is_not_our_output(made, capfd):
    env = made(1, how="print", copy=0, at=1)
    env.reset(100)
    env.step(actions(0, 1))
    env.close()
    told = capfd.readouterr()
    assert not told.out
    assert "the map speaks" in told.err


def test_a_closed_environment_says_so(made):
    env = made(1)
    env.close()
    for call in (lambda: env.reset(0), lambda: env.step(actions(0, 1)), env.render):
        with pytest.raises(EnvError, match="was closed"):
            call()


# --- what follows from a break ---


def act(obs, generator):
    return generator.integers(0, 3, len(obs)), np.full(len(obs), -1.0, np.float32)


def test_the_decisions_before_a_break_bootstrap_from_the_last_state_seen(made, tmp_path):
    """The advantages are those of a row that was cut off by hand at that state."""
    env = made(2, workers=1, how="raise", copy=1, at=7, once=str(tmp_path / "x"))
    collect = Collector(env, act, np.random.default_rng(0), seed=100)
    traj = collect(12)
    assert int(collect.stats()["env/restarts"]) == 1
    assert collect.steps == traj.steps == 22  # of 24: the two actions that were not answered are no decisions
    value = (traj.obs * torch.tensor([0.1, 2.0, 3.0, 5.0])).sum(-1)  # V depends on the state alone
    adv = gae(traj.reward, value, traj.terminated, traj.truncated, traj.acted, discount=0.9, lam=0.8)
    amid = 0
    for n in range(2):
        broke = int((traj.truncated[n] & ~traj.acted[n]).nonzero().item())
        assert torch.equal(traj.obs[n, broke], traj.obs[n, broke + 1])
        assert not traj.reward[n, broke]
        assert traj.obs[n, broke + 2, 1] == 0  # the first episode of another seed
        row = [x[n : n + 1, :broke] for x in (traj.reward, traj.terminated, traj.truncated, traj.acted)]
        alone = gae(row[0], value[n : n + 1, : broke + 1], *row[1:], discount=0.9, lam=0.8)
        torch.testing.assert_close(adv[n, :broke], alone[0])
        amid += int(traj.acted[n, broke - 1])
    assert amid  # else nothing was put to the test
    assert collect.episodes == int(((traj.terminated | traj.truncated) & traj.acted).sum())


def test_an_evaluation_plays_a_broken_episode_again(made, tmp_path):
    env = made(2, how="kill", copy=1, at=2, once=str(tmp_path / "x"), length=5)
    result = evaluate(env, lambda obs: np.zeros(len(obs), np.int64), episodes=6, seed=100)
    assert env.supervisor.restarted == 1
    assert len(result.returns) == 6
    assert result.lengths.tolist() == [5] * 6
    for length, total in zip(result.lengths, result.returns, strict=True):  # action 0 is -1, plus the time
        assert total == length * (length + 1) / 2 - length


def test_a_run_goes_on_and_shows_its_restarts(tmp_path, capfd):
    from operant.cli.main import main
    from operant.run.folder import RunFolder
    from operant.view.report import write_report

    settings = ["--total-steps", "600", "--env.num", "4", "--algo.horizon", "32", "--algo.batch", "64"]
    settings += ["--env.backend", "process", "--env.workers", "2", "--eval.episodes", "2", "--save.videos", "false"]
    settings += ["--env.kwargs.how", "kill", "--env.kwargs.at", "20", "--env.kwargs.once", str(tmp_path / "once")]
    settings += ["--env.kwargs.copy", str(Streams(1).integer("env") % 100), "--save.every", "1000"]
    assert main(["train", "ppo", FAULTY, "--runs", str(tmp_path / "runs"), *settings]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert RunFolder(run).metrics()["env/restarts"].max() == 1
    assert "restarting an environment (1 of 10)" in capfd.readouterr().err
    assert "Worker processes were restarted once" in write_report(run).read_text()


def test_beyond_the_budget_the_run_fails_with_3(tmp_path, capfd):
    from operant.cli.main import main

    settings = ["--total-steps", "600", "--env.num", "2", "--algo.horizon", "32", "--env.backend", "process"]
    settings += [
        "--env.kwargs.how",
        "raise",
        "--env.kwargs.where",
        "reset",
        "--env.kwargs.at",
        "0",
        "--env.restarts",
        "0",
    ]
    copy = Streams(1).integer("env") % 100
    assert main(["train", "ppo", FAULTY, "--runs", str(tmp_path), *settings, "--env.kwargs.copy", str(copy)]) == 3
    said = capfd.readouterr().err
    assert "copy 0, step 0: reset() raised RuntimeError: the map is gone" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("how", ["hang", "spin"])
def test_workers_do_not_outlive_a_killed_parent(tmp_path, how):
    script = f"""
        import numpy as np
        from operant.env import make
        env = make({FAULTY!r}, 2, backend="process", kwargs={{"how": {how!r}, "copy": 1, "at": 1}})
        env.reset(100)
        print(*(worker.process.pid for worker in env.workers), flush=True)
        env.step(np.zeros(2, np.int64))
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    time.sleep(0.3)
    assert pids
    assert all(alive(pid) for pid in pids)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.05)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_closing_ends_every_worker(made):
    env = made(4)
    env.reset(0)
    pids = [worker.process.pid for worker in env.workers]
    env.close()
    assert not any(alive(pid) for pid in pids)


def test_sixteen_random_kills(made):
    """SIGKILL and SIGSTOP at random moments: no hang, every record legal, every kill counted."""
    env = made(4, timeout=0.5, restarts=10_000)
    rng, stop, kills = random.Random(0), threading.Event(), []

    def killer():
        while len(kills) < 16 and not stop.wait(rng.uniform(0.05, 0.6)):
            worker = rng.choice(env.workers)
            number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP])
            if worker.process.poll() is None:
                os.kill(worker.process.pid, number)
                kills.append(number)

    thread = threading.Thread(target=killer)
    collect = Collector(env, act, np.random.default_rng(0), seed=100)
    thread.start()
    try:
        while thread.is_alive():
            called = time.monotonic()
            traj = collect(64)
            assert time.monotonic() - called < 120  # a hang; starting a worker may take long on a busy machine
            broke = traj.truncated & ~traj.acted
            assert not traj.reward[~traj.acted].any()
            assert not traj.terminated[~traj.acted].any()
            before, after = traj.obs[:, :-1][broke], traj.obs[:, 1:][broke]
            assert torch.equal(before, after)
            same_episode = traj.acted & ~traj.terminated & ~traj.truncated
            grown = traj.obs[:, 1:][..., 2] - traj.obs[:, :-1][..., 2]
            assert (grown[same_episode] == 1).all()
    finally:
        stop.set()
        thread.join()
    assert 0 < env.supervisor.restarted <= len(kills)
