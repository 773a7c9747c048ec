"""AlphaZero (Silver et al. 2018, Science 362, 1140), on one page.

A search guided by the network plays against itself. The network then learns what the search found, which is better than
what it thought itself, and who won. What the paper did at its scale: 5,000 TPUs played, networks of 20 blocks of 256
channels learnt from 700,000 batches of 4,096 positions, with 800 simulations a move. Here are a small network, a few
dozen simulations, and games small enough that a core learns one in minutes; the method is whole.

What differs: moves are drawn by visits in the first `warm` plies alone (as in AlphaGo Zero), c of PUCT is for values
within −1 and 1, positions are learnt from as any of their mirror images (as in AlphaGo Zero), and AdamW steps.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from operant.data.streams import Streams
from operant.data.trajectory import Metrics
from operant.env import EnvLike
from operant.games.match import Match
from operant.games.network import BoardPolicy
from operant.games.self_play import Positions, SelfPlay
from operant.games.settings import AlphaZeroConfig, AlphaZeroRun
from operant.games.setup import policy_of
from operant.games.train_state import BoardLearner, Window
from operant.math.objective import value_loss
from operant.run.job import Job, Position, Say, silent
from operant.search.tree import Search


def alphazero(
    cfg: AlphaZeroConfig, play: SelfPlay, policy: BoardPolicy, optimizer: torch.optim.Optimizer, window: Window,
    generator: np.random.Generator, *, total_steps: int,
) -> Iterator[Metrics]:  # fmt: skip
    """Play a few plies of every game, learn from the games that have ended, yield metrics; for ever.

    Args:
        cfg: the settings.
        play: games of the policy against itself.
        policy: trained in place.
        optimizer: of its parameters.
        window: the newest positions.
        generator: draws positions and the ways that they are looked at.
        total_steps: where the schedule ends.
    """
    while True:
        left = max(0.0, 1.0 - play.steps / total_steps)
        for group in optimizer.param_groups:
            group["lr"] = cfg.lr * (0.1 + 0.9 * left if cfg.lr_schedule == "linear" else 1.0)
        new = play(cfg.horizon)
        window.add(new)
        steps = int(np.ceil(len(new.outcome) * cfg.reuse / cfg.batch)) if len(window) >= cfg.batch else 0
        seen = [_update(cfg, policy, optimizer, *_drawn(cfg, policy, window, generator)) for _ in range(steps)]
        metrics = {name: torch.stack([m[name] for m in seen]).mean() for name in (seen[0] if seen else ())}
        now = {"replay/size": float(len(window)), "schedule/lr": optimizer.param_groups[0]["lr"]} | play.stats()
        yield metrics | {name: torch.tensor(x) for name, x in now.items()}


def _drawn(
    cfg: AlphaZeroConfig, policy: BoardPolicy, window: Window, generator: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A batch: planes [B, P, R, C], legal actions [B, A], the search's shares [B, A] and outcomes [B]."""
    assert window.held is not None
    board, rows = policy.board, generator.integers(len(window), size=cfg.batch)
    held = window.held
    batch = Positions(held.states[rows], held.policy[rows], held.outcome[rows])
    planes, legal, shares = board.encode(batch.states), board.legal(batch.states), batch.policy
    if cfg.symmetries:
        cells, actions = board.symmetries
        way = generator.integers(len(cells), size=len(planes))
        flat = planes.reshape(*planes.shape[:2], -1)
        planes = np.take_along_axis(flat, cells[way][:, None], axis=2).reshape(planes.shape)
        legal, shares = (np.take_along_axis(x, actions[way], axis=1) for x in (legal, shares))
    planes, legal, shares, outcome = map(torch.from_numpy, (planes, legal, shares, batch.outcome))
    return planes, legal, shares, outcome


def _update(
    cfg: AlphaZeroConfig, policy: BoardPolicy, optimizer: torch.optim.Optimizer, planes: Tensor, legal: Tensor,
    shares: Tensor, outcome: Tensor,
) -> Metrics:  # fmt: skip
    """One gradient step of −Σ π log p + c (z − v)²."""
    logp, value = policy(planes, legal)
    policy_loss = -(shares * logp).sum(-1).mean()
    squared, _ = value_loss(value, outcome, torch.ones_like(outcome, dtype=torch.bool))  # with its ½
    optimizer.zero_grad()
    (policy_loss + 2.0 * cfg.value_coef * squared).backward()
    optimizer.step()
    entropy = -(logp.exp() * logp).masked_fill(~legal, 0.0).sum(-1).mean()
    return {"loss/policy": policy_loss.detach(), "loss/value": squared.detach(), "policy/entropy": entropy.detach()}


def build(cfg: AlphaZeroRun, env: EnvLike, say: Say = silent) -> Job:
    """Everything AlphaZero needs, made from a config and one seed."""
    torch.set_num_threads(cfg.threads)
    streams, algo = Streams(cfg.seed), cfg.algo
    policy = policy_of(cfg, env, streams.torch("init"))
    optimizer = torch.optim.AdamW(policy.parameters(), lr=algo.lr, weight_decay=algo.weight_decay)
    alpha = 10.0 / policy.board.actions if algo.alpha is None else algo.alpha
    search = Search(simulations=algo.simulations, explore=algo.explore, noise=algo.noise, alpha=alpha)
    moves, batches = streams.numpy("policy"), streams.numpy("minibatch")
    play = SelfPlay(policy, cfg.env.num, search, algo.temperature, algo.warm, moves)
    window = Window(algo.window)
    measure = Match(cfg, policy)

    def begin(at: Position) -> None:
        """Stand at a seam: games begin anew, and every generator is derived again."""
        own = Streams(cfg.seed, at.seam)
        own.rekey(moves, "policy")
        own.rekey(batches, "minibatch")
        play.begin()
        play.steps, play.episodes = at.step, at.episodes

    return Job(
        algorithm=alphazero(algo, play, policy, optimizer, window, batches, total_steps=cfg.total_steps),
        learned=BoardLearner(policy, optimizer, window),
        counter=play,
        begin=begin,
        evaluate=measure,
        keep_evaluation=measure.keep,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )
