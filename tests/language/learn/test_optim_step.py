import copy
import itertools
import multiprocessing

import pytest
import torch

pytest.importorskip("transformers")

from operant.data.streams import Streams
from operant.language.episodes.episodes import OutcomeAndSteps, Prompts, Rollouts
from operant.language.learn.dpo import dpo
from operant.language.learn.grpo import grpo
from operant.language.learn.optim_step import learning_rate, mean_of, optim_step, share_of
from operant.language.learn.process_reward import process_reward
from operant.language.learn.reference import pairs_with_reference, verdicts_with_reference
from operant.language.learn.reward_model import reward_model
from operant.language.learn.reward_scorer import critic_from
from operant.language.learn.rlhf import rlhf
from operant.language.learn.sft import sft
from operant.language.model.language_model import Scalar
from operant.language.sample.engine import Engine, Sampling
from operant.language.settings.grpo import GRPOConfig
from operant.language.settings.learning import DPOConfig, ProcessRewardConfig, RewardModelConfig, SFTConfig
from operant.language.settings.rlhf import RLHFConfig
from operant.language.text.conversation import Encoder
from operant.language.text.epochs import Shuffled
from operant.language.text.pairs import Pair, Steps, Verdict, mismatch
from reference.tiny_language import tiny_language


@pytest.mark.parametrize(("schedule", "half"), [("constant", 1.0), ("linear", 0.5), ("cosine", 0.5)])
def test_the_learning_rate(schedule, half):
    cfg = SFTConfig(lr=2.0, lr_schedule=schedule, warmup=0.2)
    assert learning_rate(cfg, 0.0) == 0.0
    assert learning_rate(cfg, 0.1) == pytest.approx(1.0)
    assert learning_rate(cfg, 0.2) == pytest.approx(2.0)
    assert learning_rate(cfg, 0.6) == pytest.approx(2.0 * half)
    assert learning_rate(cfg, 1.5) == pytest.approx(2.0 if schedule == "constant" else 0.0)
    assert learning_rate(cfg.model_copy(update={"warmup": 0.0}), 0.0) == 2.0
    falling = [learning_rate(cfg, x / 20) for x in range(4, 21)]
    assert all(a >= b for a, b in itertools.pairwise(falling))


def test_a_step_adds_up_its_parts():
    """The gradient is of the sum of the losses; what is measured is a sum, a mean over what counts, or a maximum."""
    w, untouched = (torch.nn.Parameter(torch.tensor([1.0, 2.0])) for _ in range(2))
    optimizer = torch.optim.SGD([w, untouched], lr=1.0)

    def part(x, n):
        loss = (w * torch.tensor([x, 0.0])).sum()
        measured = {"sum": loss, "mean": mean_of(loss, n), "share": share_of(loss, 4, n), "large_max": loss.detach()}
        return lambda: (loss, measured)

    found = optim_step(optimizer, [part(2.0, 3), part(4.0, 1)], 3.0, ("sum", "mean", "share", "large_max", "none"))
    wanted = {"sum": 6.0, "mean": 2.5, "share": 6.0, "large_max": 4.0, "none": 0.0, "grad/norm": 6.0}
    assert {name: float(x) for name, x in found.items()} == pytest.approx(wanted)
    assert w.tolist() == pytest.approx([1.0 - 3.0, 2.0])  # a gradient of 6, bounded to 3
    assert untouched.grad is None  # what nothing reached is not stepped


def test_moments_fade_where_a_step_has_no_parts():
    w = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.AdamW([w], lr=0.1, weight_decay=0.0)
    for parts in ([lambda: (w.sum(), {})], []):
        before = w.item()
        assert float(optim_step(optimizer, parts, 1.0, ("a",), every=True)["grad/norm"]) == (1.0 if parts else 0.0)
        assert w.item() < before  # by what it learnt before, where it learns nothing now


def rollouts(policy, score):
    engine = Engine(policy, seed=0)
    engine.compiles = False  # what is forked has not compiled
    return Rollouts(engine, Prompts([(5, 6), (7,), (8, 9, 10)], seed=0), score, Sampling(max_tokens=4), samples=2)


def length(found):
    return [float(len(set(c.tokens)) + c.tokens[0] % 7) for c in found]


def graded(found):
    return [
        OutcomeAndSteps(outcome=n, steps=[(0, n % 3), (len(c.tokens) - 1, n % 2)])
        for n, c in zip(length(found), found, strict=True)
    ]


def two_steps(rank, world, folder):
    """Two steps of every algorithm: metrics, and the parameters behind them."""
    torch.set_num_threads(1)
    if world > 1:
        torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    policy, told = tiny_language(), []
    encoder = Encoder(tokenizer=policy.tokenizer, length=32)
    words = ["one", "two three", "42", "yes, six letters", "lazy dog"]
    examples = [encoder.completion(f"say {w}:", f" {w}", where="ab"[len(w) % 2]) for w in words]
    pairs = [Pair(chosen=a, rejected=b, group=a.where) for a, b in itertools.pairwise(examples)]
    scored, steps = Scalar(policy), [Steps(solution=e, correct=(1.0,) * sum(e.acted)) for e in examples]
    verdicts = [Verdict(answer=e, desirable=bool(i % 2)) for i, e in enumerate(examples)]
    critic, frozen = critic_from(policy), copy.deepcopy(policy)
    optimizer = torch.optim.SGD([*scored.parameters(), *critic.parameters()], lr=0.1)
    settings = {"batch": 3, "tokens": 1, "lr": 0.1, "warmup": 0.0}
    group = {"prompts": 4, "samples": 2, "tokens": 1, "lr": 0.1, "beta": 0.1}
    common = {"total_steps": 99, "reference": frozen}
    shuffled, order = (lambda items: Shuffled(items, Streams(0))), Streams(0).numpy("minibatch")
    referred = pairs_with_reference(pairs, policy)
    judged = verdicts_with_reference(mismatch(verdicts, 32), policy)
    runs = (
        sft(SFTConfig(packing=False, **settings), shuffled(examples), policy, optimizer, total_steps=99),
        sft(SFTConfig(packing=True, **settings), shuffled(examples), policy, optimizer, total_steps=99),
        dpo(DPOConfig(loss="gr_dpo", **settings), shuffled(referred), policy, optimizer, total_steps=99),
        dpo(DPOConfig(**settings), shuffled(referred), policy, optimizer, total_steps=99),
        dpo(DPOConfig(loss="kto", **settings), shuffled(judged), policy, optimizer, total_steps=99),
        reward_model(RewardModelConfig(**settings), shuffled(pairs), scored, optimizer, total_steps=99),
        process_reward(ProcessRewardConfig(**settings), shuffled(steps), scored, optimizer, total_steps=99),
        rlhf(RLHFConfig(batch=5, **group), rollouts(policy, length), policy, critic, optimizer, order, **common),
        grpo(GRPOConfig(batch=5, **group), rollouts(policy, length), policy, optimizer, order, **common),
        grpo(GRPOConfig(supervision="both", **group), rollouts(policy, graded), policy, optimizer, order, **common),
    )
    for run in runs:
        told += [{k: float(v) for k, v in next(run).items() if not k.startswith("time/")} for _ in range(2)]
    flat = torch.cat([p.detach().flatten() for p in policy.parameters()])
    if world > 1:
        torch.distributed.destroy_process_group()
    return told, flat


def _send(rank, world, folder, queue):
    told, flat = two_steps(rank, world, folder)
    queue.put((rank, told, flat.tolist()))


@pytest.mark.filterwarnings("ignore:step 1")
def test_two_processes_are_one(tmp_path):
    """Metrics and parameters, after steps whose parts were shared between two processes."""
    told, flat = two_steps(0, 1, None)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_send, args=(rank, 2, tmp_path, queue)) for rank in range(2)]
    for worker in workers:
        worker.start()
    found = sorted(queue.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    assert found[0][2] == found[1][2]  # both hold the same parameters, to the bit
    torch.testing.assert_close(torch.tensor(found[0][2]), flat, rtol=1e-4, atol=1e-6)
    for _, theirs, _ in found:
        for got, want in zip(theirs, told, strict=True):
            assert got == pytest.approx(want, rel=1e-4, abs=1e-6)
