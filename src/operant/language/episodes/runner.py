"""Episodes of many turns, played with one model: each is a coroutine that asks the sampler and its world in turn.

The sampler advances all of them by a token and waits for no world; a row is filled anew as soon as its episode ends. A
draw depends on (seed, episode, turn, position), and episodes come back in the order in which they were asked for, so a
world that answers late or early changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from operant.config.errors import ConfigError, is_ctrl_c, raised
from operant.language.episodes.dialogue import Dialogue
from operant.language.episodes.history import Past, noted
from operant.language.episodes.outside import Outside
from operant.language.episodes.played import CAUSES as CAUSES
from operant.language.episodes.played import Asked as Asked
from operant.language.episodes.played import Played as Played
from operant.language.episodes.played import Turn as Turn
from operant.language.episodes.turn_prompts import TurnPrompts
from operant.language.episodes.turn_rows import Said, TurnRows
from operant.language.episodes.world import Observation, Scenario, SharedFault, World
from operant.language.sample.engine import Engine, Sampling
from operant.language.settings.worlds import EpisodeConfig

Script = Callable[[Scenario], Sequence[str] | None]


SHARED = 10
"""Times an episode is tried again because something broke that others share."""


class WorldFault(Exception):
    """What a world's own code raised."""

    def __init__(self, said: str, *, shared: bool = False) -> None:
        super().__init__(said)
        self.shared = shared


class _Waits(Exception):
    """A coroutine of a world that was taken for one that never waits."""


@dataclass(frozen=True, slots=True)
class _Generate:
    tokens: tuple[int, ...]
    turn: int


@dataclass(frozen=True, slots=True)
class _Outside:
    coroutine: Coroutine[Any, Any, Any]


class _Ask:
    """Hands a request to whoever drives the episode; awaited, it is the answer."""

    def __init__(self, request: _Generate | _Outside) -> None:
        self.request = request

    def __await__(self) -> Generator[_Generate | _Outside, Any, Any]:
        return (yield self.request)


class Runner:
    """Plays episodes of a world.

    Args:
        world: what is played.
        engine: the sampler; its model writes the actions.
        cfg: what prompts tell, how rows are cut, and how faults are met.
        sampling: how tokens are drawn, and the limit on a turn.

    Attributes:
        waits: whether the world's coroutines are run on a loop of their own.
        remarks: what happened that a person should know, each once.
        filmed: the ids of episodes of which a picture is taken whenever something is seen, in worlds that draw.

    Raises:
        ConfigError: if a turn leaves a prompt no room in the model's positions.
    """

    def __init__(self, world: World, engine: Engine, cfg: EpisodeConfig, sampling: Sampling) -> None:
        self.world, self.engine, self.cfg, self.sampling = world, engine, cfg, sampling
        self.dialogue = Dialogue(engine.policy)
        self.longest = min(cfg.context or engine.policy.max_positions, engine.policy.max_positions)
        if sampling.max_tokens >= self.longest:
            raise ConfigError(
                f"sampling.max_tokens {sampling.max_tokens} leaves a prompt no room in {self.longest} tokens: lower "
                "it, or take a model with more positions"
            )
        self.waits, self.remarks, self.filmed = False, dict[str, str](), frozenset[int]()
        self._outside: Outside | None = None
        self._sessions: dict[int, Any] = {}

    def play(
        self,
        asked: Sequence[Asked],
        *,
        script: Script | None = None,
        tell: Callable[[int, int], None] | None = None,
    ) -> list[Played]:
        """Episodes, in the order in which they are asked for.

        Args:
            asked: whose ids differ.
            script: says a scenario's actions in place of the model; an episode ends where there are no more.
            tell: told how many are over, and of how many, whenever some are.
        """
        with self.engine.sampling():
            return _Round(self, asked, script, tell).run()

    def close(self) -> None:
        """End what worlds wait on."""
        if self._outside is not None:
            self._outside.close()
            self._outside = None

    @property
    def outside(self) -> Outside:
        """The loop of worlds that wait."""
        if self._outside is None:
            self._outside = Outside(self.cfg.timeout)
        return self._outside

    # ------------------------------------------------------------------------------------------------ one episode
    async def episode(self, asked: Asked) -> Played:
        """Play one; where its world breaks, again with equal draws."""
        own, shared, note = 0, 0, ""
        while True:
            played = Played(asked=asked, faults=own + shared, note=note)
            try:
                await self._attempt(played)
                return played
            except _Waits:
                self.waits = True
            except TimeoutError:
                played.cause, played.note = "timeout", f"it took longer than {self.cfg.timeout:g} s"
                return played
            except WorldFault as fault:
                own, shared, note = own + (not fault.shared), shared + fault.shared, str(fault)
                if own > self.cfg.retries or shared > SHARED:
                    return Played(asked=asked, cause="fault", faults=own + shared, note=note)

    async def _attempt(self, played: Played) -> None:
        scenario, world, graph = played.asked.scenario, self.world, played.graph
        session = self._sessions[played.asked.id] = _guarded(lambda: world.open(scenario))
        try:
            obs = await self._seen(session.reset, session, played)
            past, memory, drawn = list[Past](), "", 0
            budget = self.longest - self.sampling.max_tokens
            prompt = TurnPrompts(self.cfg, self.dialogue, world.system, scenario.instruction, budget, self.remarks)
            for number in range(world.turns):
                tokens = prompt.next(played, past, obs.text, memory, obs.pictures)
                if tokens is None:
                    played.cause = "context"
                    break
                merge = self.cfg.rows != "per_turn" and not obs.pictures  # of a picture no row has a part
                leaf = graph.prompt(tokens, number, merge=merge)
                said: Said | None = await _Ask(_Generate(graph.tokens(leaf), number))
                if said is None:  # a script is at its end
                    played.cause = "fail"
                    break
                drawn += len(said.tokens)
                leaf = graph.sampled(leaf, number, said.tokens, said.logp, said.kept)
                if said.finish == "length":
                    leaf = graph.forced(leaf, number, self.dialogue.closing)
                prompt.leaf = leaf
                text = self.dialogue.text(said.tokens)
                action, memory = noted(text, memory) if self.cfg.history == "memory" else (text, memory)
                before, obs = obs, await self._step(session, action, played)
                past.append(Past(before.text, text, obs.text, before.pictures))
                played.turns.append(
                    Turn(shown=before.text, action=action, result=obs.text, reward=obs.reward, error=obs.error,
                         state=before.state, tokens=len(said.tokens), cut=said.finish == "length")
                )  # fmt: skip
                if obs.terminated or obs.truncated:
                    break
            else:
                played.cause = "turns"
            graph.check(drawn)
            _conclude(played, obs)
        finally:
            await self._close(played.asked.id)

    async def _step(self, session: Any, action: str, played: Played) -> Observation:
        obs = await self._seen(lambda: session.step(action), session, played)
        if not isinstance(obs, Observation):
            raise WorldFault(f"step returned a {type(obs).__name__}, not an Observation")
        return obs

    async def _seen(self, call: Callable[[], Coroutine[Any, Any, Any]], session: Any, played: Played) -> Any:
        """What a world shows, with its picture where the episode is filmed."""
        obs = await self._world(call)
        if played.asked.id in self.filmed:
            played.pictures.append(await self._world(session.picture))
        return obs

    async def _world(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """A world's coroutine: run in place where it does not wait, else beside the sampler."""
        if self.waits:
            return await _Ask(_Outside(_guarded(call)))
        coroutine = _guarded(call)
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        except RuntimeError as error:
            if "no running event loop" in str(error):
                raise _Waits from error
            raise _fault(error) from error
        except Exception as error:
            raise _fault(error) from error
        coroutine.close()
        raise _Waits

    async def _close(self, id: int) -> None:
        session = self._sessions.pop(id, None)
        if session is None:  # whoever ended the round did it
            return
        try:
            await self._world(session.close)
        except _Waits:
            return
        except (WorldFault, TimeoutError) as error:
            self.remarks.setdefault("close", f"closing an episode of {self.world.name} failed: {error}")

    def abandon(self) -> None:
        """Close the sessions of episodes that will not end, whatever they raise."""
        for id in [*self._sessions]:
            session = self._sessions.pop(id)
            try:
                if self.waits:
                    self.outside.finish(session.close())
                else:
                    session.close().send(None)
            except (Exception, StopIteration):
                continue


def _guarded(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        raise _fault(error) from error


def _conclude(played: Played, obs: Observation) -> None:
    """Why it ended, from its last observation."""
    told = obs.info.get("success")
    played.told = {name: value for name, value in obs.info.items() if isinstance(value, bool)}
    played.success = bool(told) if told is not None else played.ret >= 1.0 - 1e-9
    if obs.terminated:
        played.cause = "success" if played.success else "fail"
    elif obs.truncated:
        played.cause = "success" if played.success else "turns"


class _Round:
    """Episodes under way: their coroutines, the sampler's rows, and what is waited for."""

    def __init__(
        self, runner: Runner, asked: Sequence[Asked], script: Script | None, tell: Callable[[int, int], None] | None
    ) -> None:
        self.runner, self.asked, self.script, self.tell = runner, asked, script, tell
        self.waiting, self.ended = deque(asked), dict[int, Played]()
        count = max(1, min(runner.engine.slots, len(asked)))
        self.rows = TurnRows(runner.engine, count, runner.sampling, runner.longest)
        self.under_way: dict[int, tuple[Asked, Coroutine[Any, Any, Played]]] = {}
        self.abroad: set[int] = set()

    def run(self) -> list[Played]:
        try:
            while self.waiting or self.under_way:
                done = len(self.ended)
                while self.waiting and self.rows.free:
                    slot, asked = self.rows.free.pop(), self.waiting.popleft()
                    self.under_way[slot] = asked, self.runner.episode(asked)
                    self._drive(slot, None)
                if self.rows.busy:
                    for slot, said in self.rows.advance().items():
                        self._drive(slot, said)
                if self.abroad:
                    for slot, value, error in self.runner.outside.ended(wait=not self.rows.busy):
                        self.abroad.discard(slot)
                        self._drive(slot, value, error)
                if self.tell is not None and len(self.ended) > done:
                    self.tell(len(self.ended), len(self.asked))
        except BaseException:
            self.runner.abandon()
            for _, episode in self.under_way.values():
                episode.close()
            raise
        return [self.ended[one.id] for one in self.asked]

    def _drive(self, slot: int, value: Any, error: BaseException | None = None) -> None:
        """Give an episode what it waited for, until it waits again or is over."""
        asked, episode = self.under_way[slot]
        while True:
            try:
                request = episode.send(value) if error is None else episode.throw(_told(error))
            except StopIteration as done:
                self.ended[asked.id] = done.value
                del self.under_way[slot]
                self.rows.leave(slot)
                return
            error = None
            if isinstance(request, _Outside):
                self.abroad.add(slot)
                self.runner.outside.submit(slot, request.coroutine)
                return
            if self.script is None:
                self.rows.begin(slot, request.tokens, asked.id, request.turn)
                return
            value = self._scripted(self.script, asked.scenario, request.turn)

    def _scripted(self, script: Script, scenario: Scenario, turn: int) -> Said | None:
        actions = script(scenario) or ()
        if turn >= len(actions):
            return None
        tokens = tuple(self.runner.dialogue.answer(actions[turn]))
        none = (0.0,) * len(tokens)
        return Said(tokens=tokens, logp=none, kept=none, finish="stop")


def _told(error: BaseException) -> BaseException:
    """What a world raised outside, as it would have been raised in place; cancellation and Ctrl-C are no faults."""
    if isinstance(error, TimeoutError) or not isinstance(error, Exception) or is_ctrl_c(error):
        return error
    return _fault(error)


def _fault(error: Exception) -> WorldFault:
    return WorldFault(raised(error), shared=isinstance(error, SharedFault))
