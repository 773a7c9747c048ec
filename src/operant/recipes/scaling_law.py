"""Scaling laws: the loss of small models in their parameters and tokens, by three forms, on text of known entropy."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from operant.config.write import json_text
from operant.data.jsonl import lines
from operant.data.scaling import Form, fit_scaling_law, scaling_intervals
from operant.data.streams import Streams
from operant.language.learn.setup import adamw
from operant.language.learn.sft import sft
from operant.language.model.fresh import fresh
from operant.language.settings.learning import SFTConfig
from operant.language.settings.runs import BaseConfig
from operant.language.text.conversation import Encoded
from operant.language.text.epochs import Shuffled
from operant.language.text.packing import padded
from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial

LETTERS, WINDOW = 64, 64
WIDTHS = (8, 16, 32, 64, 128)
WINDOWS = (64, 256, 1_024, 4_096, 16_384)
"""Of the two letters that they begin with and 62 to learn."""
PASSES, STEPS, LOOKS, HELD = 3, 600, 8, 256
"""Passes over the windows, or so many steps of 32 where that is more; the least of so many held-out losses counts."""


class Source:
    """A Markov chain of order two over letters of which few are frequent; no model's loss is below its entropy rate.

    Attributes:
        entropy: H = −Σ_ab π(a, b) Σ_c P(c | a, b) log P(c | a, b), in nats a letter.
    """

    def __init__(self, seed: int) -> None:
        random = Streams(seed).numpy("scaling/source")
        frequent = 1.0 / np.arange(1, LETTERS + 1)
        self.after = random.gamma(16.0 * frequent / frequent.sum(), size=(LETTERS,) * 3) + 1e-6  # [a, b, c]
        self.after /= self.after.sum(-1, keepdims=True)
        pair = np.full((LETTERS, LETTERS), LETTERS**-2.0)
        for _ in range(500):
            pair = np.einsum("ab,abc->bc", pair, self.after)
        self.pair = pair / pair.sum()
        self.entropy = -float(np.einsum("ab,abc,abc->", self.pair, self.after, np.log(self.after)))

    def windows(self, random: np.random.Generator, count: int) -> list[Encoded]:
        """So many, each from the stationary distribution of two letters on."""
        text = np.empty((count, WINDOW), np.int64)
        text[:, 0], text[:, 1] = np.divmod(random.choice(LETTERS**2, count, p=self.pair.ravel()), LETTERS)
        below = self.after.cumsum(-1)
        for i in range(2, WINDOW):
            drawn = (below[text[:, i - 2], text[:, i - 1]] < random.random((count, 1))).sum(-1)
            text[:, i] = np.minimum(drawn, LETTERS - 1)
        learnt = (False, *(True,) * (WINDOW - 2))
        return [Encoded(tokens=tuple(row), acted=learnt, where="a window") for row in (text + 2).tolist()]


def trained(source: Source, width: int, windows: int, seed: int, *, miniature: bool) -> tuple[int, float]:
    """A model's parameters but for its table of tokens, and its least held-out loss in nats."""
    base = BaseConfig(width=width, heads=min(4, width // 4), positions=WINDOW, tokenizer="bytes", seed=seed)
    policy, streams = fresh(base, ()), Streams(seed)
    data = Shuffled(source.windows(streams.numpy("scaling/train", windows), windows), streams)
    held = padded(source.windows(streams.numpy("scaling/held"), 8 if miniature else HELD), 0)
    total = 64 if miniature else max(PASSES * windows, 32 * STEPS)
    settings = SFTConfig(batch=32, packing=False, lr=0.016 * width**-0.5, lr_schedule="cosine", warmup=0.05)
    looks, best = 0, float("inf")
    for _ in sft(settings, data, policy, adamw([policy], settings.lr, 0.0), total_steps=total):
        if data.steps * LOOKS >= total * (looks + 1):
            looks = data.steps * LOOKS // total
            with torch.no_grad():
                logp, _ = policy.evaluate(held.tokens, held.acted)
            best = min(best, -float(logp.sum() / held.acted.sum()))
        if data.steps >= total:
            break
    table = sum(m.weight.numel() for m in (policy.base.get_input_embeddings(), policy.base.lm_head))
    return sum(p.numel() for p in policy.parameters()) - table, best


def grid(t: Trial, source: Source) -> NDArray[np.float64]:
    """[3, n]: parameters, tokens and losses of a seed's models; what is trained is kept, for all arms."""
    widths, counts = ((8, 16), (32, 64)) if t.miniature else (WIDTHS, WINDOWS)
    about = repr((LETTERS, PASSES, STEPS, LOOKS, source.entropy, t.miniature))
    file = t.folder.parent / f"grid-s{t.seed}.jsonl"
    kept = [note for _, note in lines(file)] if file.exists() else []
    known = {(n["width"], n["windows"]): n for n in kept if n["about"] == about}
    for width, count in ((w, c) for w in widths for c in counts if (w, c) not in known):
        size, loss = trained(source, width, count, t.seed, miniature=t.miniature)
        known[width, count] = {"about": about, "width": width, "windows": count, "size": size, "loss": loss}
        with file.open("a", encoding="utf-8") as out:
            out.write(json_text(known[width, count]) + "\n")
        t.say(f"  {size:,} parameters, {count * (WINDOW - 2):,} tokens: {loss:.4f} nats, of {source.entropy:.4f}")
    rows = [known[w, c] for w in widths for c in counts]
    return np.asarray([[r["size"], r["windows"] * (WINDOW - 2), r["loss"]] for r in rows], np.float64).T


def trial(t: Trial) -> Numbers:
    """How far a law that is fitted to the smaller models is off the largest ones, and what it takes for the floor."""
    torch.set_num_threads(2)
    source = Source(t.seed)
    size, data, loss = grid(t, source)
    held = (size == size.max()) | (data == data.max())
    mixed = Streams(t.seed).numpy("scaling/shuffled").permutation(loss[~held])
    fitted = size[~held], data[~held], mixed if t.arm == "shuffled" else loss[~held]
    law = fit_scaling_law(ARMS[t.arm][0], *fitted, starts=4 if t.miniature else 40)
    found = scaling_intervals(law, *fitted, resamples=4 if t.miniature else 200)
    off = np.abs(law.loss(size, data) / loss - 1.0)
    told = {f"{name}{end}": x for name in ("alpha", "beta", "floor")
            for end, x in zip(("", " low", " high"), (getattr(law, name), *found[name]), strict=True)}  # fmt: skip
    return {
        "held out": float(off[held].mean()), "worst": float(off[held].max()), "largest": float(off[-1]),
        "entropy": source.entropy, "floor off": abs(law.floor / source.entropy - 1.0), **told,
    }  # fmt: skip


ARMS: dict[str, tuple[Form, str]] = {
    "floor": ("floor", "E + (N_c/N)^α + (D_c/D)^β, Hoffmann's"),
    "joint": ("joint", "[(N_c/N)^(α/β) + D_c/D]^β, Kaplan's"),
    "sum": ("sum", "(N_c/N)^α + (D_c/D)^β, as it is often printed: no floor"),
    "shuffled": ("floor", "Hoffmann's, fitted to losses that are other models'"),
}

RECIPE = Recipe(
    name="scaling-law",
    title="Scaling laws: which form says what a larger model will do",
    source="Kaplan et al. (2020), Scaling laws for neural language models, arXiv:2001.08361; Hoffmann et al. (2022), "
    "Training compute-optimal large language models, arXiv:2203.15556",
    paper="The loss of a transformer falls as a power of its parameters but for embeddings and of the tokens that it "
    "learns from. Kaplan's law has α 0.076, β 0.095 and no floor; Hoffmann's adds one, of what no model can learn.",
    here="25 Llamas of two blocks, 8 to 128 wide (1,320 to 389,760 parameters but for the table of tokens), each on "
    "4,000 to a million letters of a Markov chain of order two over 64 letters, whose entropy rate is exact. Laws are "
    "fitted to 16; the largest width, and the most letters, are held out. Models and text are small, forms and fit are "
    "whole: errors of log L under Huber's loss, 40 starts, 200 bootstrap draws; the least held-out loss counts.",
    mechanism="A floor of its own stands beside the two powers: what cannot be learnt is not taken for what a larger "
    "model would learn. `sum` is the same law without.",
    arms={name: text for name, (_, text) in ARMS.items()},
    controls=("sum", "shuffled"),
    claims=(
        Claim(text="the largest N and D are foretold within 3 %", metric="held out", arm="floor", bar=0.03, most=True),
        Claim(text="losses of other models foretell less", metric="held out", arm="shuffled", over="floor", bar=0.02),
        Claim(text="its floor is the entropy, ± 5 %", metric="floor off", arm="floor", bar=0.05, most=True, must=False),
        Claim(text="without a floor less is foretold", metric="held out", arm="sum", over="floor", bar=0.0, must=False),
        Claim(text="Kaplan's form foretells less", metric="held out", arm="joint", over="floor", bar=0.0, must=False),
    ),
    trial=trial,
    minutes=60.0,
)  # fmt: skip
