"""A run on disk, or an exported policy, opened: measure it, watch it, read what it learnt."""

from __future__ import annotations

import shlex
import tempfile
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from operant.config.errors import ConfigError
from operant.config.schema import LARGEST, RunConfig
from operant.data.streams import Streams
from operant.env import EnvLike
from operant.env.headless import draw_in_memory
from operant.env.interface import Interface
from operant.env.live import makers
from operant.run import checkpoint, exported
from operant.run.actor import Acting
from operant.run.attempt import keep_evaluation
from operant.run.drain import summary
from operant.run.evaluate import Evaluator, refuse_other
from operant.run.evaluate import copies as made_copies
from operant.run.find import trained
from operant.run.made_here import consented
from operant.run.schemas import settings
from operant.run.shipped import is_shipped, refuse_shipped
from operant.run.sources import ChangedWarning, absolute, differences, require_env, short, told
from operant.run.world import world_of

if TYPE_CHECKING:
    import pandas as pd


class Run:
    """A run on disk, or an exported policy, and the agent.

    Args:
        path: the run folder, or that of an exported policy, which is read and not written; "last" is the newest run.
        name: which checkpoint, "latest", "best" or "step-<8 digits>".
        env: the environment or task, where the run was made with a callable instead of a name, or was made elsewhere
            and names code.
        trust: import the Python code that the run names as its algorithm or network, and take the models and servers
            that it names; only for runs of your own.
        runs: where "last" is looked for.

    Raises:
        ConfigError: if there is no run or no such checkpoint there, or it names code and is not trusted.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        name: str = "latest",
        env: EnvLike | None = None,
        trust: bool = False,
        runs: Path | str = "runs",
    ) -> None:
        self.folder, env = trained(path, runs), None if env is None else absolute(makers(env)[0])
        self.name, self.trust = name, trust
        self.config: RunConfig = settings(self.folder.path, trust=trust)
        self._world = world_of(self.config.kind)
        self.exported = exported.is_exported(self.path)
        self._given = env or (exported.environment(self.path, self.config.env.id) if self.exported else None)

    def _repr_html_(self) -> str:
        """How a notebook shows it."""
        from operant.view.notebook import run_html

        return run_html(self.folder, exported.evaluation(self.path) if self.exported else None)

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @cached_property
    def _loaded(self) -> tuple[Any, int]:
        read = exported.load if self.exported else checkpoint.load_policy
        return read(self.path, self.name, trust=self.trust)

    @property
    def env(self) -> EnvLike:
        """The environment or task: the one that was given, or that of the config."""
        return self._given or self.config.env.id

    def permitted(self) -> RunConfig:
        """The config, seen to name an environment or task that may be used here.

        Raises:
            ConfigError: if the folder was not made here by this user and names code, and no `env` was given.
        """
        return consented(self.path, self.config, env=self._given, trust=self.trust, whole=False)

    @property
    def policy(self) -> Any:
        """The agent: `policy.act(obs)` is what `env.step` takes, its `.policy` and `.critic` are torch modules.

        `obs` is one observation as the environment gives it, or a batch as a Gymnasium vector environment does.

        Of a run on a language model, the `LanguageModel`: its `.model` and `.tokenizer` are of transformers.
        """
        policy = self._loaded[0]
        if isinstance(policy, Acting):
            policy.ask = self._interface  # where its file holds no spaces
        return policy

    def _interface(self) -> Interface:
        copies = made_copies(self.permitted(), self.env, 1)
        try:
            return Interface.of(copies)
        finally:
            copies.close()

    def _changed(self, config: RunConfig) -> dict[str, str]:
        """What the policy is measured on and is not as it was, said as a warning, and to be kept with the result."""
        require_env(config, self._given)
        rows = differences(self.folder.info(), config, self._given)
        if rows:
            warnings.warn(
                f"{self.path} is not opened with what it was made of: {told(rows)}", ChangedWarning, stacklevel=3
            )
        return {"changed": told(rows)} if rows else {}

    @property
    def step(self) -> int:
        """How many environment steps the agent had seen at this checkpoint."""
        return self._loaded[1]

    def value(self, obs: Any) -> np.ndarray:
        """V in the units of the environment's reward: [] of one raw observation, [N] of a batch (see `policy`)."""
        return self.policy.value(obs)

    @property
    def metrics(self) -> pd.DataFrame:
        """Every metric row, by step."""
        return self.folder.metrics()

    def evaluate(
        self, episodes: int | None = None, *, seed: int | None = None, deterministic: bool | None = None
    ) -> dict[str, Any]:
        """Run whole episodes and keep the result in `evals/`.

        Returns mean, std, iqm, episodes, deterministic, seed, returns and lengths. What is left out is as the
        config says: by default 100 episodes of the policy's mode. For an exported policy it is as its card says, and
        nothing is kept.
        """
        cfg = exported.protocol(self.path, self.config.eval) if self.exported else self.config.eval
        seed = _seed(cfg.seed if seed is None else seed)
        deterministic = cfg.deterministic if deterministic is None else deterministic
        config = self.permitted()
        changed = self._changed(config)
        measure = self._world.measure(config, self.policy, self.env)
        if isinstance(measure, Evaluator):
            measure.stored = True
        try:
            with self._traced("eval"):
                result = measure(episodes or cfg.episodes, seed=seed, deterministic=deterministic)
        finally:
            measure.close()
        protocol = cfg.model_copy(update={"seed": seed, "deterministic": deterministic})
        if self.exported:
            with tempfile.TemporaryDirectory() as aside:
                more = measure.keep(Path(aside), self.step)
            short = summary(result) | result.marks(cfg)
            short |= {name.removeprefix("eval/"): value for name, value in more.items()}
            short |= protocol.model_dump(include={"deterministic", "seed"}) | {"episodes": len(result.returns)}
        else:
            more = {**measure.keep(self.path, self.step), **changed}
            short = keep_evaluation(self.folder, self.step, result, protocol, more, final=cfg)
        return short | {"returns": result.returns.tolist(), "lengths": result.lengths.tolist()}

    def play(self, *, episodes: int = 1, seed: int | None = None, show: bool = False) -> list[Path]:
        """Film the policy, an mp4 an episode in `videos/`; with `show`, open a window instead and write nothing.

        Of a policy that ships with the library, it is `videos/NAME/` where you are; of any other, in its folder.
        """
        from operant.view.play import Episode, film
        from operant.view.video import show as show_frames

        if self._world.NO_FILM:
            seen = f"{self._world.NO_FILM.partition('.')[0]}: operant {self.next}"
            raise ConfigError(seen if is_shipped(self.path) else self._world.NO_FILM.format(path=self.path))
        first = _seed(self.config.eval.seed if seed is None else seed)
        noise = None if self.config.eval.deterministic else Streams(self.config.seed).numpy("play", first)
        if not show:
            draw_in_memory()
        config = self.permitted()
        self._changed(config)
        videos = Path("videos", self.path.name) if is_shipped(self.path) else self.path / "videos"
        make = getattr(self._world, "copies", made_copies)
        copies = make(config, self.env, 1, render_mode="rgb_array")
        fps = copies.fps
        made: list[Path] = []
        try:
            refuse_other(self.policy, copies, self.env)
            for k in range(episodes):
                self.policy.forget()
                episode = Episode(
                    copies, lambda obs: self.policy.decide(obs, generator=noise), short(self.config.env.id), first + k,
                    told=self.policy.told,
                )  # fmt: skip
                with self._traced("play"), self.policy.attention() as episode.looked:
                    if show:
                        show_frames(episode.frames(), fps, episode.caption, reads=episode.reads)
                    else:
                        made.append(film(episode, videos, step=self.step, number=k + 1, fps=fps))
        finally:
            copies.close()
        return made

    def film_pairs(self) -> list[Path]:
        """Film the pairs of clips that a person was asked about by `preference-ppo`, side by side."""
        from operant.view.pairs import film_pairs

        return film_pairs(self.path, self.permitted(), self.env)

    def against(self, ask: Callable[[str], str], tell: Callable[[str], None], *, games: int = 1) -> None:
        """Let a person play against the policy of a board: `ask` is given a prompt and returns what they type.

        Raises:
            ConfigError: if it plays no board.
        """
        play = getattr(self._world, "against", None)
        if play is None:
            raise ConfigError(f"{self.path.name} plays no board, so there are no turns to take: operant {self.next}")
        play(self.policy, ask, tell, games=games)

    def _traced(self, what: str) -> AbstractContextManager[None]:
        """Keep the traceback of what fails inside, but in an exported policy, which is not written."""
        return nullcontext() if self.exported else self.folder.traced(what)

    def advice(self) -> list[str]:
        """What to do after training it, in lines."""
        return self._world.advice(self.config, self.path)

    @property
    def next(self) -> str:
        """The command that looks at it, without `operant`."""
        return self._world.NEXT.format(path=shlex.quote(self.path.name if is_shipped(self.path) else str(self.path)))

    def export_refusal(self) -> str:
        """Why it is not exported and what to do instead; "" where it is."""
        return self._world.NO_EXPORT.format(path=self.path)

    def report(self) -> Path:
        """Write `report.html` anew and return its path."""
        from operant.view.report import write_report

        refuse_shipped(self.path, "there is no report to write")
        return write_report(self.path)


def _seed(seed: int) -> int:
    """The same seed. Raises ConfigError for one that files could not hold."""
    if not 0 <= seed <= LARGEST:
        raise ConfigError(f"seed is {seed}, expected a whole number from 0 to {LARGEST:,}")
    return seed
