"""The reward that is learnt from preferences: an ensemble of networks, and the judge that asks, learns and pays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from operant.config.errors import OperantError
from operant.control.agent import Agent
from operant.control.bonus import Trained
from operant.control.learned_reward import ActionFeatures, Steps, normalizer_of
from operant.control.networks.trunk import plain
from operant.control.preferences.clips import WAITING, Clips, Pairs, by_return, cut_clips, read_labels, with_labels
from operant.control.preferences.playing import Playing
from operant.control.settings.preferences import PreferencesConfig
from operant.data.streams import Streams
from operant.data.trajectory import Metrics, Trajectory
from operant.env import VectorEnv
from operant.env.spaces import Actions
from operant.math.comparison import soft_label
from operant.run.disk import replace_file, writing

NAME = "preferences"
RATIO = 1.1, 1.5
"""Between what the loss on pairs that were not taught stays, as a multiple of the other (Christiano et al. 2017)."""


class Ensemble(nn.Module):
    """r̂_k(s, a) of K networks, and what puts each of them on one scale.

    Attributes:
        taught: whether they have learnt from any pair.
        terminates: whether any episode has terminated.
    """

    mean: Tensor
    deviation: Tensor
    taught: Tensor
    terminates: Tensor

    def __init__(self, env: VectorEnv, actions: int, network: str, cfg: PreferencesConfig, seed: torch.Generator):
        super().__init__()
        self.normalizer = normalizer_of(env.observations, network)
        self.members = nn.ModuleList(
            Steps(env.observations, actions, network, cfg.hidden, seed, normalizer=self.normalizer)
            for _ in range(cfg.members)
        )
        self.register_buffer("mean", torch.zeros(cfg.members))
        self.register_buffer("deviation", torch.ones(cfg.members))
        self.register_buffer("taught", torch.tensor(data=False))
        self.register_buffer("terminates", torch.tensor(data=False))
        self.register_buffer("l2", torch.tensor(float(cfg.l2), dtype=torch.float64))

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        """Rows [B, D] and features of actions [B, A]: [K, B]."""
        return torch.stack([member(obs, action) for member in self.members])

    def measure(self, scores: Tensor, *, shift: bool) -> None:
        """Take mean and deviation of scores [K, B] for each network's; without a shift those about 0."""
        self.mean.copy_(scores.mean(1) if shift else torch.zeros_like(self.mean))
        self.deviation.copy_((scores - self.mean[:, None]).square().mean(1).sqrt() + 1e-8)

    def scaled(self, scores: Tensor) -> Tensor:
        """[K, B], each network's in units of its deviation."""
        return (scores - self.mean[:, None]) / self.deviation[:, None]


class PreferenceJudge(Trained):
    """Asks which of two clips is better, teaches the ensemble, and gives each segment the reward that it has learnt.

    r̂(s, a) is the mean of the networks, each in units of its deviation on the segment after which it last learnt. Kept
    in checkpoints beside the agent.

    Args:
        cfg: the settings.
        agent: the learner.
        env: its environment.
        streams: where weights, clips and resamplings come from.
        steps: environment steps done so far.
        playing: what a person is shown is played by, where one judges.

    Attributes:
        pairs: all that were asked for; None before the first.
    """

    def __init__(
        self, cfg: PreferencesConfig, agent: Agent, env: VectorEnv, streams: Streams, steps: Callable[[], int],
        playing: Playing | None = None,
    ) -> None:  # fmt: skip
        self.cfg, self._steps, self._streams, self._playing = cfg, steps, streams, playing
        self._again: dict[int, dict[str, np.ndarray]] = {}
        self.pairs: Pairs | None = None
        self._features = ActionFeatures(Actions(env.action_space), agent.policy.distribution)
        network = agent.spec.network
        self.ensemble = Ensemble(env, self._features.size, network, cfg, streams.torch("init-preferences"))
        self.ensemble.to(next(agent.parameters()).device)
        self._generator = streams.numpy(NAME)
        super().__init__(self.ensemble, self._generator, lr=cfg.lr, batch=cfg.batch)
        self._metrics: Metrics = {}

    @property
    def taught(self) -> bool:
        """Whether there is a reward yet."""
        return bool(self.ensemble.taught)

    def begin(self, streams: Streams) -> None:
        """Stand at a seam."""
        self._streams = streams
        streams.rekey(self._generator, NAME)

    def settle(self) -> Metrics:
        """Of the last segment."""
        return self._metrics

    def __call__(self, traj: Trajectory) -> Trajectory:
        """The segment with learnt rewards, 0 while there are none; asks and learns first, where it is time to.

        Raises:
            ConfigError: if a line of the file of judgements is none.
            OperantError: if pairs are to be asked for while others wait for a person.
        """
        self._metrics = {}
        with torch.no_grad():
            rows = plain(traj.seen)[traj.acted]
            if self.ensemble.normalizer is not None:
                self.ensemble.normalizer.update(self._vector(rows))
            self.ensemble.terminates |= traj.terminated.any()
        new = self._heard()
        new |= self._ask(traj)
        if new:
            self._teach()
        with torch.no_grad():
            scores = self.ensemble(rows, self._features(traj.action)[traj.acted])  # [K, B]
            if new:
                auto = self.cfg.shift == "auto" and not self.ensemble.terminates
                self.ensemble.measure(scores, shift=auto or self.cfg.shift == "on")
        learnt = torch.zeros_like(traj.reward)
        if self.taught:
            learnt[traj.acted] = self.ensemble.scaled(scores).mean(0)
        self._tell(traj, learnt)
        return replace(traj, reward=learnt)

    def _vector(self, rows: Tensor) -> Tensor:
        member = self.ensemble.members[0]
        assert isinstance(member, Steps)
        return member.trunk.layout.vector(rows)

    # ------------------------------------------------------------------------------------------------ asking
    def _due(self) -> int:
        """How many pairs are to be asked for now."""
        cfg, there = self.cfg, 0 if self.pairs is None else len(self.pairs)
        return min(cfg.budget, cfg.initial + cfg.ask * (self._steps() // cfg.every)) - there

    def _ask(self, traj: Trajectory) -> bool:
        """Add the pairs that are due; returns whether they are judged."""
        count = self._due()
        if count <= 0:
            return False
        self._refuse_waiting()
        there, shown = 0 if self.pairs is None else len(self.pairs), self._playing
        traj = traj if shown is None else shown(2 * count * self.cfg.clip, self._streams, there)
        first, second, starts = self._drawn(traj, count)
        if shown is not None:
            self._again |= {there + k: shown.again(start, self.cfg.clip) for k, start in enumerate(starts)}
        generator, clips = self._generator, first.joined(second)
        order = torch.arange(2 * count).reshape(2, count).T.flatten()  # the two of a pair side by side
        label = torch.full((count,), WAITING)
        if not self.cfg.labels:
            label = by_return(first.returns, second.returns, noise=self.cfg.noise, generator=generator)
        weight = torch.from_numpy(generator.poisson(1.0, (count, self.cfg.members)).astype(np.float32))
        asked = Pairs(clips=clips[order], label=label, weight=weight)
        self.pairs = asked if self.pairs is None else self.pairs.joined(asked)
        return not self.cfg.labels

    def _drawn(self, traj: Trajectory, count: int) -> tuple[Clips, Clips, np.ndarray]:
        """Pairs of a clip of this segment and one of it or of those judged before: any, or the most disputed.

        With the columns [count, 2] where they begin. A person is shown new ones only.
        """
        cfg, generator = self.cfg, self._generator
        disputed = cfg.choose == "disagreement" and self.taught
        many = count * (cfg.candidates if disputed else 1)
        (first, start), (other, second) = (cut_clips(traj, cfg.clip, many, generator) for _ in range(2))
        starts = np.stack([start, second], 1)
        if self.pairs is not None and self._playing is None:
            old = self.pairs.clips
            again = generator.random(many) < 0.5
            which = torch.from_numpy(generator.integers(0, len(old), many)[again])
            kept = old[which].tensors()
            place = torch.from_numpy(np.flatnonzero(again))
            other = Clips(**{name: x.index_copy(0, place, kept[name]) for name, x in other.tensors().items()})
        if not disputed:
            return first, other, starts
        with torch.no_grad():
            likely = (self.scores(first) - self.scores(other)).sigmoid()  # [K, C]
        most = torch.argsort(-likely.var(0, correction=0), stable=True)[:count]
        return first[most], other[most], starts[most.numpy()]

    def _heard(self) -> bool:
        """Take what a person has said meanwhile; returns whether any of it is new."""
        if not self.cfg.labels or self.pairs is None:
            return False
        before = self.pairs.label
        self.pairs = with_labels(self.pairs, read_labels(Path(self.cfg.labels), len(self.pairs)))
        changed = ~torch.isclose(before, self.pairs.label, equal_nan=True)
        if not self.taught:
            self._refuse_waiting()
        return bool(changed.any())

    def _refuse_waiting(self) -> None:
        waiting = [] if self.pairs is None else self.pairs.waiting.nonzero().flatten().tolist()
        if waiting:
            raise OperantError(
                f"{len(waiting)} pairs of clips wait to be judged, the first of them pair {waiting[0]}: film them by "
                f"operant play RUN --pairs, or look at preferences/ in the run's folder, and write a line "
                f'{{"pair": {waiting[0]}, "better": "first"}} (or "second", "equal", "neither") for each into '
                f"{self.cfg.labels}"
            )

    # ------------------------------------------------------------------------------------------------ learning
    def scores(self, clips: Clips) -> Tensor:
        """Σ r̂_k over each clip, [K, C]."""
        device = self.ensemble.mean.device
        present = clips.present.to(device)
        each = self.ensemble(clips.obs.to(device)[present], self._features(clips.action.to(device))[present])
        total = torch.zeros(self.cfg.members, *present.shape, device=device)
        total[:, present] = each
        return total.sum(-1)

    def losses(self, pairs: Pairs, weight: Tensor) -> Tensor:
        """[K], each network's loss on pairs, weighed by [P, K]."""
        device = self.ensemble.mean.device
        first, second, label = self.scores(pairs.first), self.scores(pairs.second), pairs.label.to(device)
        found: list[Tensor] = []
        for k, w in enumerate(weight.T.to(device)):
            reduce = partial(_weighed, weight=w)
            found.append(soft_label(first[k], second[k], label, error=self.cfg.error, reduce=reduce)[0])
        return torch.stack(found)

    def _teach(self) -> None:
        """Pass over all judged pairs; then adapt the weight decay, and tell how well the networks agree with them."""
        assert self.pairs is not None
        keep = self.pairs.judged
        pairs = Pairs(
            clips=self.pairs.clips[keep.repeat_interleave(2)], label=self.pairs.label[keep],
            weight=self.pairs.weight[keep],
        )  # fmt: skip
        if not len(pairs):
            return
        self.optimizer.param_groups[0]["weight_decay"] = float(self.ensemble.get_buffer("l2"))

        def loss(index: Tensor) -> Tensor:
            both = torch.stack([2 * index, 2 * index + 1], 1).flatten().cpu()
            at = index.cpu()
            some = Pairs(clips=pairs.clips[both], label=pairs.label[at], weight=pairs.weight[at])
            return self.losses(some, some.weight).sum()

        passes = ceil(self.cfg.updates / ceil(len(pairs) / self.cfg.batch))
        metrics = [self.fit(loss, len(pairs), torch.device("cpu")) for _ in range(passes)][-1]
        self.ensemble.taught.fill_(True)
        with torch.no_grad():
            held = (pairs.weight == 0).float()
            inside, outside = (float(self.losses(pairs, w).mean()) for w in (pairs.weight, held))
            right = self._right(pairs)
        l2, ratio = self.ensemble.get_buffer("l2"), outside / max(inside, 1e-8)
        if held.any():
            l2.mul_(1.1 if ratio > RATIO[1] else 1 / 1.1 if ratio < RATIO[0] else 1.0)
        self._metrics |= {f"preferences/{name}": x for name, x in metrics.items()}
        told = {"held_out_loss": outside, "taught_loss": inside, "l2": float(l2), "accuracy": right}
        self._metrics |= {f"preferences/{name}": torch.tensor(x, dtype=torch.float64) for name, x in told.items()}

    def _right(self, pairs: Pairs) -> float:
        """The share of decided pairs that networks which were not taught them, or else all, put in their order."""
        ahead = (self.scores(pairs.first) > self.scores(pairs.second)).T.cpu()  # [P, K]
        agrees = ahead == (pairs.label > 0.5)[:, None]
        seen = (pairs.weight == 0) & (pairs.label != 0.5)[:, None]
        return float(agrees[seen].float().mean()) if seen.any() else 0.0

    def _tell(self, traj: Trajectory, learnt: Tensor) -> None:
        """How many pairs there are, and how far learnt and true rewards go together (0 where one does not vary)."""
        both = torch.stack([traj.reward[traj.acted], learnt[traj.acted]]).double()
        spread = both.std(1).prod()
        together = torch.cov(both)[0, 1] / spread if len(both[0]) > 1 and float(spread) > 0 else torch.zeros(())
        pairs = self.pairs
        asked, judged = (0, 0) if pairs is None else (len(pairs), int(pairs.judged.sum()))
        self._metrics |= {"preferences/correlation": together, "preferences/reward": learnt[traj.acted].mean()}
        self._metrics |= {"preferences/asked": torch.tensor(asked), "preferences/judged": torch.tensor(judged)}

    # ------------------------------------------------------------------------------------------------ keeping
    def keep(self, run: Path, step: int) -> None:
        """Write the clips of each pair that waits for a person, `preferences/pair-0003.npz`, once.

        An archive holds `obs_first`, `obs_second` [T, D] and `action_first`, `action_second` [T, *W], of T steps each;
        and what it takes to see them again, as `Playing.again` says.
        """
        if not self.cfg.labels or self.pairs is None:
            return
        for pair in self.pairs.waiting.nonzero().flatten().tolist():
            file = run / NAME / f"pair-{pair:04d}.npz"
            if file.exists():
                continue
            file.parent.mkdir(exist_ok=True)
            arrays = self._again.pop(pair, {})
            for name, clips in (("first", self.pairs.first), ("second", self.pairs.second)):
                there = clips.present[pair]
                arrays[f"obs_{name}"] = clips.obs[pair][there].numpy()
                arrays[f"action_{name}"] = clips.action[pair][there].numpy()
            with writing(file, sum(x.nbytes for x in arrays.values())):
                replace_file(file, lambda out, arrays=arrays: np.savez_compressed(out, allow_pickle=False, **arrays))

    def tensors(self) -> dict[str, Tensor]:
        """The networks, their optimiser, and all pairs."""
        pairs = {} if self.pairs is None else self.pairs.tensors()
        return super().tensors() | {f"pairs.{name}": x for name, x in pairs.items()}

    def prepared(self, tensors: Mapping[str, Tensor], file: Path) -> Callable[[], None]:
        """What takes over all that was saved, when it is called.

        Raises:
            ConfigError: if it is not of such a reward.
        """
        fill = super().prepared(tensors, file)
        its = {k.removeprefix("pairs."): x for k, x in tensors.items() if k.startswith("pairs.")}
        pairs = Pairs.read(its, self.cfg.members, file) if its else None

        def take() -> None:
            fill()
            self.pairs = pairs

        return take


def _weighed(x: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Σ w x / Σ w over the mask; 0 where no weight is."""
    w = torch.where(mask, weight, 0.0)
    return (w * x).sum() / w.sum().clamp(min=1e-8)
