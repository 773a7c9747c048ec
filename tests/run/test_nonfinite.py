"""A NaN or an infinity at each of twelve points: caught in its iteration, located, kept, never saved, shown in red."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file

import operant.control.ppo as module
from operant.cli.main import main
from operant.config.registry import builder_of
from operant.control.collector import Collector
from operant.control.fused import FusedPPO
from operant.env.gymvector import GymVector
from operant.run.folder import RunFolder
from operant.run.metrics import read_metrics
from operant.view.report import write_report

HORIZON, COPIES, THIRD = 16, 4, 2
SETTINGS = {
    "total-steps": 6 * HORIZON * COPIES,
    "env.num": COPIES,
    "env.backend": "native",
    "algo.horizon": HORIZON,
    "algo.batch": 32,
    "algo.epochs": 2,
    "algo.lr": 3e-4,
    "save.every": 1,
    "save.keep": 9,
    "save.videos": "false",
    "eval.episodes": 1,
}


class Fault:
    """A run that went wrong, as a person finds it."""

    def __init__(self, folder, capsys, code):
        self.code, self.said = code, capsys.readouterr().err
        (path,) = folder.iterdir()
        self.folder = RunFolder(path)
        self.places = sorted((path / "faults").glob("step-*"))
        self.about = json.loads((self.places[0] / "fault.json").read_text()) if self.places else {}
        self.batch = load_file(self.places[0] / "batch.safetensors") if self.places else {}
        self.metrics = read_metrics(path)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Train with a job changed by `prepare`, and look at what is left."""

    def train(prepare=lambda job: None, **settings):
        build_ppo = builder_of("ppo")

        def build(cfg, env, say):
            job = build_ppo(cfg, env, say)
            prepare(job)
            return job

        monkeypatch.setattr("operant.control.ppo.build", build)
        words = [f"--{k}={v}" for k, v in (SETTINGS | settings).items()]
        code = main(["train", "ppo", "CartPole-v1", "--runs", str(tmp_path), *words])
        return Fault(tmp_path, capsys, code)

    return train


@pytest.fixture
def after(monkeypatch):
    """Call a function in the third iteration, when `owner.name` has given its result, and put its answer in place."""

    def wrap(owner, name, change, number=THIRD):
        original, calls = getattr(owner, name), []

        def wrapped(*args, **kwargs):
            result = original(*args, **kwargs)
            calls.append(1)
            if len(calls) == number + 1:
                changed = change(result)
                result = result if changed is None else changed
            return result

        monkeypatch.setattr(owner, name, wrapped)

    return wrap


def sound(fault, tensor, *words, iteration=THIRD, collecting=False, red=True):
    """What must hold wherever it was."""
    assert fault.code == 4
    assert "Traceback" not in fault.said
    assert len(fault.places) == 1
    assert fault.about["tensor"] == tensor
    for word in (*words, str(fault.places[0])):
        assert word in fault.said, word
    info = fault.folder.info()
    assert info["status"] == "failed"
    assert info["error"] in fault.said
    assert len(fault.metrics.step) == iteration + (not collecting)  # in the very iteration
    assert "obs" in fault.batch
    saved = sorted((fault.folder.path / "checkpoints").glob("step-*"))
    assert len(saved) == iteration  # and before anything was saved
    for checkpoint in saved:
        for file in ("model.safetensors", "optim.safetensors"):
            assert all(torch.isfinite(x).all() for x in load_file(checkpoint / file).values())
    page = write_report(fault.folder.path).read_text()
    assert 'class="notice alarm"' in page
    assert f"faults/{fault.places[0].name}" in page
    assert words[0] in page.replace("&#39;", "'")
    if red and not collecting:
        assert "Not every number was finite" in page


both = pytest.mark.parametrize("fused", ["on", "off"])
index = (2, 7)  # copy, column


def at_copy(fault):
    assert (fault.about["copy"], fault.about["column"]) == index


@both
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_observation(run, after, fused, bad):
    def change(step):
        step.obs[1, 3] = bad

    after(GymVector, "step", change, THIRD * HORIZON + 5)
    fault = run(**{"algo.fused": fused})
    sound(fault, "observation", "observation of environment copy 1 at step 6", collecting=True)
    assert not torch.isfinite(fault.batch["obs"][1, 6, 3])


@both
@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_reward(run, after, fused, bad):
    def change(step):
        step.reward[1] = bad

    after(GymVector, "step", change, THIRD * HORIZON + 5)
    fault = run(**{"algo.fused": fused})
    sound(fault, "reward", "reward of environment copy 1 at step 5", collecting=True)
    assert not torch.isfinite(fault.batch["reward"][1, 5])


@both
def test_log_probability(run, after, fused):
    def change(answer):
        answer[1][3] = math.nan

    def prepare(job):
        class Sampler:
            sample = staticmethod(job.counter._sample)

        after(Sampler, "sample", change, THIRD * HORIZON + 5)
        job.counter._sample = lambda obs, generator: Sampler.sample(obs, generator)

    fault = run(prepare, **{"algo.fused": fused})
    sound(fault, "log-probability", "log-probability of environment copy 3 at step 5", collecting=True)


@both
def test_logits(run, after, fused):
    """Weights that are finite, and so large that the logits are not."""

    def prepare(job):
        def change(result):
            with torch.no_grad():
                job.agent.policy.net.layers[-1].weight[0] = 3e38

        after(module, "gae", change)

    fault = run(prepare, **{"algo.fused": fused})
    sound(fault, "the logits", "the logits, component 0, is not finite in row", "minibatch 1 of epoch 1")
    row = fault.batch["minibatch"][fault.about["row"]]
    assert fault.batch["sample"][row].tolist() == [fault.about["copy"], fault.about["column"]]


@both
def test_value(run, after, fused):
    def prepare(job):
        def change(traj):
            with torch.no_grad():
                job.agent.critic.net.layers[-1].weight[0] = 3e38

        after(Collector, "__call__", change)

    fault = run(prepare, **{"algo.fused": fused})
    sound(fault, "value", "value of environment copy")
    assert not torch.isfinite(fault.batch["value"][fault.about["copy"], fault.about["column"]])


@both
def test_advantage(run, after, fused):
    def change(adv):
        adv[index] = math.nan

    after(module, "gae", change)
    fault = run(**{"algo.fused": fused})
    sound(fault, "advantage", "advantage of environment copy 2, column 7, is not finite")
    at_copy(fault)
    assert torch.isnan(fault.batch["advantage"][index])


@both
def test_loss_that_overflows(run, after, fused):
    """A finite target so large that the squared error is not."""

    def change(adv):
        adv[index] = 1e25

    after(module, "gae", change)
    fault = run(**{"algo.fused": fused})
    sound(fault, "the squared error of the value", "the squared error of the value is not finite in row", "loss/value")
    at_copy(fault)


@both
def test_loss_itself(run, after, monkeypatch, fused):
    """The policy's loss comes out as NaN, from the fourth minibatch of the third iteration on."""
    if fused == "on":

        def change(epoch):
            epoch[1]["loss/policy"].fill_(math.nan)

        after(FusedPPO, "__call__", change, 2 * THIRD + 1)
    else:
        original, armed = module.clipped_surrogate, []
        after(module, "gae", lambda adv: armed.append(1))
        batches = []

        def surrogate(logp, *args, **kwargs):
            loss, metrics = original(logp, *args, **kwargs)
            batches.extend(armed)
            return (loss * math.nan if len(batches) % 4 == 0 and armed else loss), metrics

        monkeypatch.setattr(module, "clipped_surrogate", surrogate)
    fault = run(**{"algo.fused": fused})
    sound(fault, "loss/policy", "loss/policy is not finite in minibatch 2 of epoch 2")
    assert (fault.about["epoch"], fault.about["minibatch"]) == (2, 2)


@both
def test_gradient_that_overflows(run, fused):
    fault = run(**{"algo.fused": fused, "algo.value_coef": 1e30})
    sound(fault, "grad/norm", "grad/norm is not finite in minibatch 1 of epoch 1", iteration=0)


def test_gradient_of_one_parameter(run, after):
    """Of all the parameters, the one whose gradient went wrong is named, though clipping spoils the others after it."""

    def prepare(job):
        weight = job.agent.critic.net.layers[1].weight
        after(
            module,
            "gae",
            lambda adv: weight.register_hook(lambda g: g.index_fill(0, torch.tensor(5), math.inf)) and None,
        )

    fault = run(prepare, **{"algo.fused": "off"})
    name = "the gradient of critic.net.layers.1.weight[5, 0]"
    sound(fault, name, f"{name} is not finite in minibatch 1 of epoch 1")


@both
@pytest.mark.parametrize(("slot", "bad"), [("exp_avg", math.nan), ("exp_avg_sq", math.inf)])
def test_optimiser_state(run, after, fused, slot, bad):
    """An infinite second moment shows in no metric: its parameter only ceases to move."""

    def prepare(job):
        def change(adv):
            job.learned.optimizer.state[job.agent.policy.net.layers[1].weight][slot][4, 2] = bad

        after(module, "gae", change)

    fault = run(prepare, **{"algo.fused": fused})
    name = f"{slot} of policy.net.layers.1.weight[4, 2]"
    sound(fault, name, f"{name} was not finite before the update", red=slot == "exp_avg")
    assert not torch.isfinite(fault.batch[f"before/{slot} of policy.net.layers.1.weight"][4, 2])


@both
def test_a_parameter_after_the_last_minibatch(run, after, fused):
    """One minibatch an iteration: its own metrics are still finite when its step has spoilt a parameter."""

    def prepare(job):
        def change(adv):
            job.learned.optimizer.state[job.agent.critic.net.layers[0].bias]["exp_avg"][1] = 3e38
            job.learned.optimizer.state[job.agent.critic.net.layers[0].bias]["exp_avg_sq"][1] = 0.0

        after(module, "gae", change)

    settings = {"algo.batch": HORIZON * COPIES, "algo.epochs": 1, "algo.lr": 1e-1, "algo.lr_schedule": "constant"}
    fault = run(prepare, **{"algo.fused": fused, **settings, "algo.adam_eps": 1e-12, "algo.value_coef": 0})
    sound(fault, "critic.net.layers.0.bias[1]", "critic.net.layers.0.bias[1] is not finite", red=False)


@both
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_learning_rate(run, monkeypatch, fused, bad):
    original = module.ppo
    changed = lambda cfg, *a, **k: original(cfg.model_copy(update={"lr": bad, "lr_schedule": "constant"}), *a, **k)  # noqa: E731
    monkeypatch.setattr(module, "ppo", changed)
    fault = run(**{"algo.fused": fused})
    sound(fault, "learning rate", f"the learning rate is {bad}", iteration=0)


@both
@pytest.mark.parametrize(("buffer", "bad"), [("mean", math.nan), ("var", math.inf)])
def test_normaliser(run, after, fused, buffer, bad):
    """An infinite variance shows in no metric: every observation becomes 0."""

    def prepare(job):
        def change(adv):
            getattr(job.agent.normalizer, buffer)[2] = bad

        after(module, "gae", change)

    fault = run(prepare, **{"algo.fused": fused, "policy.normalize_obs": "true"})
    name = f"normalizer.{buffer}[2]"
    sound(fault, name, f"{name} was not finite before the update", red=buffer == "mean")


@both
def test_normaliser_while_collecting(run, after, fused):
    def prepare(job):
        def change(step):
            job.agent.normalizer.mean[1] = math.nan

        after(GymVector, "step", change, THIRD * HORIZON + 5)

    fault = run(prepare, **{"algo.fused": fused, "policy.normalize_obs": "true"})
    sound(fault, "log-probability", "normalizer.mean[1] is not finite. Seen as this:", collecting=True)
    assert fault.about["state"] == "normalizer.mean[1]"


@both
def test_normaliser_of_rewards(run, after, fused):
    def prepare(job):
        def change(traj):
            job.agent.reward_scale.var.fill_(math.nan)

        after(Collector, "__call__", change)

    fault = run(prepare, **{"algo.fused": fused, "policy.normalize_reward": "true"})
    sound(fault, "reward_scale.var", "reward_scale.var was not finite")


@both
def test_metric(run, after, fused):
    after(Collector, "stats", lambda stats: stats | {"train/return": torch.tensor(math.nan)})
    fault = run(**{"algo.fused": fused})
    sound(fault, "train/return", f"train/return not finite at step {fault.metrics.step[-1]}")
    returns = fault.metrics.column("train/return")
    assert returns.step[-1] == fault.metrics.step[-1]
    assert math.isnan(returns.value[-1])


def test_metric_of_an_evaluation(run, after):
    def prepare(job):
        measure, calls = job.evaluate, []

        def evaluate(episodes):
            result = measure(episodes)
            calls.append(1)
            return result._replace(returns=result.returns * math.nan) if len(calls) == THIRD + 1 else result

        job.evaluate = evaluate

    fault = run(prepare, **{"eval.every": 1, "eval.during": 1})
    assert fault.code == 4
    assert fault.about["tensor"] == "eval/return_mean"
    assert len(sorted((fault.folder.path / "checkpoints").glob("step-*"))) == THIRD


def test_what_was_kept_holds_where_the_update_began(run, after):
    """The copies in the batch are the parameters of the last checkpoint: nothing of the failed update is in them."""

    def change(adv):
        adv[index] = math.nan

    after(module, "gae", change)
    fault = run()
    saved = load_file(fault.folder.path / "checkpoints" / "latest" / "model.safetensors")
    for name, x in saved.items():
        assert torch.equal(fault.batch[f"before/{name}"], x), name


def test_equal_targets_are_not_a_fault(run):
    """Explained variance is 0/0 there: NaN, shown and allowed."""
    fault = run(**{"algo.discount": 0, "algo.lam": 0, "algo.epochs": 1})
    assert fault.code == 0
    assert not fault.places


def test_a_sound_run_keeps_nothing_and_is_changed_by_nothing(run, monkeypatch):
    monkeypatch.setattr("operant.control.nan_locator.Inspector.locate", None)
    fault = run()
    assert fault.code == 0
    assert not fault.places
