"""MinAtar: steps a second of random actions, our compiled games beside the authors' package.

    python bench/minatar_games.py [--game breakout …] [--rounds 3]

Ours steps 64 copies at once, the package one after the other, as it is made; both give a picture a step and begin anew
where an episode ends. Each game prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import time
from importlib.metadata import version

import numpy as np

from _interleave import emit, interleave, quiet

GAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
COPIES, STEPS, SIDES = 64, 2_000, ("ours", "peer")


def side(game: str, which: str, seed: int) -> dict[str, float]:
    """Steps a second of one side, after a warm-up that compiles, and what was paid on average."""
    rng, paid = np.random.default_rng(seed), 0.0
    if which == "ours":
        from operant.env.minatar import MinAtar

        env = MinAtar(COPIES, game, minimal=False)
        env.reset(seed=seed)
        actions = rng.integers(6, size=(STEPS, COPIES))
        env.step(actions[0])
        began = time.perf_counter()
        for action in actions:
            paid += float(env.step(action)[1].sum())
        return {"value": actions.size / (time.perf_counter() - began), "paid": paid / actions.size}
    from minatar import Environment

    theirs, actions = Environment(game), rng.integers(6, size=10 * STEPS)
    theirs.seed(seed)
    theirs.reset()
    began = time.perf_counter()
    for action in actions:
        reward, over = theirs.act(int(action))
        theirs.state()
        paid += reward
        if over:
            theirs.reset()
    return {"value": actions.size / (time.perf_counter() - began), "paid": paid / actions.size}


def main() -> None:
    """The comparison, or with --side one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", nargs="+", choices=GAMES, default=list(GAMES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side is not None:
        print(json.dumps(side(args.game[0], args.side, args.seed)))
        return
    quiet()
    for game in args.game:
        ours, peer = interleave(*([__file__, "--game", game, "--side", name] for name in SIDES), rounds=args.rounds)
        paid = {
            name: round(float(np.mean([x["paid"] for x in its])), 4)
            for name, its in zip(SIDES, (ours, peer), strict=True)
        }
        emit(
            f"minatar_{game}", ours, peer, peer_name="MinAtar", peer_version=version("MinAtar"), unit="steps/s",
            copies=COPIES, paid_a_step=paid,
        )  # fmt: skip


if __name__ == "__main__":
    main()
