import itertools
import multiprocessing

import pytest
import torch

pytest.importorskip("transformers")

from operant.algo.dpo import dpo
from operant.algo.learning import Tally, rate
from operant.algo.reference import pairs_with_reference
from operant.algo.sft import sft
from operant.config.language import DPOConfig, SFTConfig
from operant.data.conversation import Encoder
from operant.data.order import Shuffled
from operant.data.pairs import Pair
from operant.data.streams import Streams
from reference.tiny_language import tiny_language


@pytest.mark.parametrize(("schedule", "half"), [("constant", 1.0), ("linear", 0.5), ("cosine", 0.5)])
def test_the_learning_rate(schedule, half):
    cfg = SFTConfig(lr=2.0, lr_schedule=schedule, warmup=0.2)
    assert rate(cfg, 0.0) == 0.0
    assert rate(cfg, 0.1) == pytest.approx(1.0)
    assert rate(cfg, 0.2) == pytest.approx(2.0)
    assert rate(cfg, 0.6) == pytest.approx(2.0 * half)
    assert rate(cfg, 1.5) == pytest.approx(2.0 if schedule == "constant" else 0.0)
    assert rate(cfg.model_copy(update={"warmup": 0.0}), 0.0) == 2.0
    falling = [rate(cfg, x / 20) for x in range(4, 21)]
    assert all(a >= b for a, b in itertools.pairwise(falling))


def test_means_of_parts():
    tally = Tally(("a", "b"))
    tally.add({"a": torch.tensor(2.0)}, 3)
    tally.add({"a": torch.tensor(4.0)}, 1)
    assert {k: float(v) for k, v in tally.means(4).items()} == {"a": 2.5, "b": 0.0}


def two_steps(rank, world, folder):
    """Two steps of SFT and of GR-DPO: metrics, and the parameters behind them."""
    torch.set_num_threads(1)
    if world > 1:
        torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    policy, told = tiny_language(), []
    encoder = Encoder(tokenizer=policy.tokenizer, length=32)
    words = ["one", "two three", "42", "yes, six letters", "lazy dog"]
    examples = [encoder.completion(f"say {w}:", f" {w}", where="ab"[len(w) % 2]) for w in words]
    pairs = [Pair(chosen=a, rejected=b, group=a.where) for a, b in itertools.pairwise(examples)]
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.1)
    settings = {"batch": 3, "tokens": 1, "lr": 0.1, "warmup": 0.0}
    runs = (
        sft(SFTConfig(packing=False, **settings), Shuffled(examples, Streams(0)), policy, optimizer, total_steps=99),
        dpo(
            DPOConfig(loss="gr_dpo", **settings),
            Shuffled(pairs_with_reference(pairs, policy), Streams(0)),
            policy,
            optimizer,
            total_steps=99,
        ),
    )
    for run in runs:
        told += [{k: float(v) for k, v in next(run).items()} for _ in range(2)]
    flat = torch.cat([p.detach().flatten() for p in policy.parameters()])
    if world > 1:
        torch.distributed.destroy_process_group()
    return told, flat


def _send(rank, world, folder, queue):
    told, flat = two_steps(rank, world, folder)
    queue.put((rank, told, flat.tolist()))


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
