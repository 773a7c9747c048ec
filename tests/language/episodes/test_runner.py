"""Episodes of many turns: the same numbers whenever a world answers, faults that cost nothing, ends told apart."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")

from operant.config.errors import ConfigError, OperantError
from operant.config.registry import WORLDS
from operant.language.episodes.dialogue import Dialogue
from operant.language.episodes.episodes import episodes
from operant.language.episodes.runner import SHARED, Asked, Played, Runner
from operant.language.episodes.turn_rows import TurnRows
from operant.language.episodes.world import SharedFault, World, load_world
from operant.language.episodes.world_rollouts import WorldRollouts, world_batch
from operant.language.episodes.world_success import evenly
from operant.language.model.language_model import LanguageModel
from operant.language.sample.engine import Engine, Sampling
from operant.language.settings.worlds import EpisodeConfig
from reference.tiny_language import NOT_PREFIX_PRESERVING, TEMPLATE, tiny_model, tiny_tokenizer
from reference.tiny_worlds import Sum

SEED = 5


def model(template: str | None = None, family: str = "llama", positions: int = 256) -> LanguageModel:
    return LanguageModel(tiny_model(family, positions=positions), tiny_tokenizer(template))


def runner(
    world: Any, policy: LanguageModel | None = None, *, slots: int = 16, tokens: int = 6, temperature: float = 1.0,
    **settings: Any,
) -> Runner:  # fmt: skip
    policy = model() if policy is None else policy
    sampling = Sampling(max_tokens=tokens, stop=Dialogue(policy).stop, temperature=temperature)
    return Runner(world, Engine(policy, seed=SEED, slots=slots), EpisodeConfig(**settings), sampling)


def asked(world: Sum, groups: int = 5, members: int = 3) -> list[Asked]:
    scenarios = world.scenarios("train")
    return [
        Asked(id=g * members + k, group=g, member=k, scenario=scenarios[g])
        for g in range(groups)
        for k in range(members)
    ]


def numbers(played: list[Played]) -> list[Any]:
    """All that training could see of episodes, bit for bit."""
    return [
        (p.asked.id, p.cause, p.ret, [t.action for t in p.turns],
         [(r.prompt, r.tokens, r.sampled, r.logp, r.kept, r.turn) for r in p.graph.rows()])
        for p in played
    ]  # fmt: skip


def slow(rng: random.Random) -> float:
    return rng.random() * 0.004


@pytest.mark.parametrize("template", [None, TEMPLATE, NOT_PREFIX_PRESERVING], ids=["plain", "chat", "rewriting"])
def test_a_world_that_answers_late_changes_nothing_bit_for_bit(template):
    policy, expected = model(template), None
    for slots, delay in ((1, None), (16, None), (3, slow), (7, slow), (16, slow)):
        world = Sum(delay=delay)
        one = runner(world, policy, slots=slots)
        found = numbers(one.play(asked(world)))
        one.close()
        assert one.waits == (delay is not None)
        assert world.open_now == 0
        expected = expected or found
        assert found == expected
    rows = {len(graph) for *_, graph in expected or ()}
    assert rows == {1} if template != NOT_PREFIX_PRESERVING else max(rows) > 1


@pytest.mark.parametrize("rows", ["append", "per_turn"])
@pytest.mark.parametrize("history", ["full", "last", "lines", "memory"])
def test_every_history_is_fed_as_it_is_trained(rows, history):
    if rows == "append" and history != "full":
        with pytest.raises(ValueError, match="does not extend the one before"):
            EpisodeConfig(rows=rows, history=history)
        return
    world, policy = Sum(), model(TEMPLATE)
    played = runner(world, policy, rows=rows, history=history, last=1).play(asked(world))
    for p in played:
        assert len(p.graph.rows()) == (1 if rows == "append" else len(p.turns))
    batch = world_batch(played)
    traj = batch.rows.traj
    with torch.no_grad():
        again, _ = policy.evaluate(traj.obs, traj.acted)
    torch.testing.assert_close(again, torch.where(traj.acted, traj.logp, 0.0), atol=1e-5, rtol=0)  # ratio 1 ± 1e-5


def test_rows_kept_and_rows_computed_anew_draw_the_same(monkeypatch):
    world, policy = Sum(), model()
    kept = runner(world, policy).play(asked(world))
    monkeypatch.setattr("operant.language.episodes.turn_rows.FED", 10**9)
    anew = runner(world, policy).play(asked(world))
    for a, b in zip(kept, anew, strict=True):
        (row,), (other,) = a.graph.rows(), b.graph.rows()
        assert row.tokens == other.tokens
        assert torch.tensor(row.logp).sub(torch.tensor(other.logp)).abs().max() < 1e-5


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_other_ways_of_decoding_play_too(family):
    world, policy = Sum(), model(TEMPLATE, family)
    one = runner(world, policy)
    one.engine.compiles = False
    found, compiled = one.play(asked(world)), runner(world, policy).play(asked(world))
    assert [[r.tokens for r in p.graph.rows()] for p in found] == [[r.tokens for r in p.graph.rows()] for p in compiled]


def test_a_thousand_faults_lose_no_episode_and_score_none_with_nothing():
    policy, whole, faults = model(), Sum(turns=2), 0
    expected = numbers(runner(whole, policy, tokens=3).play(asked(whole, 40, 1)))
    for seed in range(13):
        rng = random.Random(seed)
        broken = {(s.id, attempt): rng.randrange(1, 3) for s in whole.scenarios("train") for attempt in (1, 2)}
        world = Sum(turns=2, breaks=lambda s, a, call, broken=broken: broken.get((s, a)) == call)
        played = runner(world, policy, tokens=3).play(asked(world, 40, 1))
        assert numbers(played) == expected  # equal draws
        faults += sum(p.faults for p in played)
        assert (world.open_now, world.closed) == (0, sum(world.attempts.values()))
    assert faults > 1_000


def test_a_world_that_always_breaks_is_no_reward_of_nothing():
    world = Sum(breaks=lambda scenario, attempt, call: scenario == 1 and call == 2)
    played = runner(world, retries=3).play(asked(world))
    bad = [p for p in played if p.asked.scenario.id == 1]
    assert {p.cause for p in bad} == {"fault"}
    assert all(not p.scored and not p.turns and p.faults == 4 and "the world broke" in p.note for p in bad)
    assert all(p.scored for p in played if p not in bad)


def test_what_many_share_may_break_more_often_than_an_episode_may():
    """A browser that dies ends whoever is in it, however often their own pages broke before."""
    policy = model()
    for times, ends in ((SHARED, False), (SHARED + 1, True)):
        world = Sum(turns=2, breaks=lambda scenario, attempt, call, times=times: attempt <= times)
        world.fault = SharedFault
        played = runner(world, policy, tokens=3, retries=0).play(asked(world, 4, 1))
        assert all(p.faults == times for p in played)
        assert [p.cause == "fault" for p in played] == [ends] * 4
        if not ends:
            whole = runner(Sum(turns=2), policy, tokens=3).play(asked(Sum(turns=2), 4, 1))
            assert numbers(played) == numbers(whole)


def test_a_late_world_is_cut_and_not_scored_and_the_others_do_not_wait_for_it():
    world = Sum(delay=lambda rng: 30.0 if rng.getstate() == random.Random(2).getstate() else 0.0)
    one = runner(world, timeout=0.2)
    played = one.play(asked(world))
    one.close()
    assert {p.cause for p in played if p.asked.group == 2} == {"timeout"}
    assert all(p.scored == (p.asked.group != 2) for p in played)
    assert world.open_now == 0


def test_ends_are_told_apart():
    world = Sum()
    script = {0: world.oracle(world.scenarios("train")[0]), 1: ["say 99"], 2: ["what"] * 9, 3: ["add 1"]}
    played = runner(world).play(asked(world, 4, 1), script=lambda s: script[s.id])
    assert [p.cause for p in played] == ["success", "fail", "turns", "fail"]
    assert [p.ret for p in played] == [1.0, 0.0, 0.0, 0.0]
    assert [p.cut for p in played] == [False, False, True, False]
    assert len(played[2].turns) == world.turns
    assert played[2].turns[0].error == "PARSE what"
    assert played[2].turns[0].result == "PARSE what"  # an observation, and no fault
    short = runner(world, context=24, rows="append").play(asked(world, 2, 1), script=lambda s: ["what"] * 9)
    assert {p.cause for p in short} == {"context"}
    pruned = runner(world, context=48).play(asked(world, 2, 1), script=lambda s: ["what"] * 9)
    assert {p.cause for p in pruned} == {"turns"}
    assert all(len(p.graph.rows()) > 1 and p.left_out for p in pruned)  # what no longer fits was left out of a new row


def test_an_interrupted_round_closes_every_session(monkeypatch):
    world = Sum(delay=slow)
    one = runner(world)
    monkeypatch.setattr("operant.language.episodes.turn_rows.TurnRows.advance", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        one.play(asked(world))
    one.close()
    assert world.open_now == 0


def test_the_masks_are_those_of_the_sampler_and_nothing_else_is_acted():
    world, policy = Sum(), model(TEMPLATE)
    one = runner(world, policy)
    played = one.play(asked(world))
    batch = world_batch(played)
    assert int(batch.rows.traj.acted.sum()) == one.engine.tokens == int(batch.tokens.sum())
    assert bool((batch.rows.traj.acted == (batch.turn >= 0)).all())


def test_a_row_that_holds_other_tokens_than_were_fed_is_noticed(monkeypatch):
    begin = TurnRows.begin

    def off(self: TurnRows, slot: int, tokens: Any, episode: int, turn: int) -> None:
        begin(self, slot, (*tokens[:-2], 7, tokens[-1]), episode, turn)
        self._fed[slot] = tuple(tokens)

    monkeypatch.setattr(TurnRows, "begin", off)
    world = Sum()
    with pytest.raises(OperantError, match="not those that the model read"):
        runner(world).play(asked(world))
    assert world.open_now == 0


def test_encoding_what_was_said_again_would_train_other_tokens():
    """The bug of others: a row rebuilt from texts; here letters stay apart that a tokenizer would join."""
    world, policy = Sum(), model(TEMPLATE)
    played = runner(world, policy, temperature=2.0).play(asked(world, 10, 4))
    rebuilt = [
        policy.tokenizer(t.action, add_special_tokens=False)["input_ids"] for p in played for t in p.turns if not t.cut
    ]
    sampled = [
        [tok for tok, own in zip(r.tokens, r.turn, strict=True) if own == n][:-1]
        for p in played for r in p.graph.rows() for n, t in enumerate(p.turns) if not t.cut
    ]  # fmt: skip
    assert any(a != b for a, b in zip(rebuilt, sampled, strict=True))


def test_groups_of_which_one_is_left_are_dropped_and_counted():
    world = Sum(breaks=lambda scenario, attempt, call: scenario % 2 == 1 and attempt % 2 == 1)
    collect = WorldRollouts(runner(world, retries=0), seed=1, samples=2)
    batch = collect.batch(8)
    stats = {k: float(v) for k, v in collect.stats().items()}
    odd = [p for p in collect.played if p.asked.scenario.id % 2]
    assert len(odd) > 0
    assert stats["group/dropped"] == len({p.asked.group for p in odd})
    assert stats["ended/fault"] == pytest.approx(sum(p.cause == "fault" for p in odd) / 16)
    assert sorted(set(batch.group.tolist())) == sorted({p.asked.group for p in collect.played if p not in odd})
    assert len(batch.ret) == 16 - len(odd)


def test_nothing_left_ten_times_in_a_row_says_why():
    world = Sum(breaks=lambda scenario, attempt, call: True)
    with (
        pytest.warns(UserWarning, match="passed over"),
        pytest.raises(OperantError, match=r"10 times.*the world broke"),
    ):
        WorldRollouts(runner(world, retries=0), seed=1, samples=2).batch(2)


@pytest.mark.parametrize(("count", "wanted", "period"), [(6000, 200, 30), (6000, 100, 30), (15_000, 200, 75)])
def test_what_is_measured_is_from_everywhere_in_a_list_that_repeats_itself(count, wanted, period):
    """A desk names its templates in turn: at equal distances 200 of 6,000 scenarios were all of the first template."""
    found = evenly(count, wanted)
    assert found == sorted({*found})
    assert 0 <= found[0] < found[-1] < count
    assert len(found) == wanted
    seen = Counter(i % period for i in found)
    assert len(seen) == period
    assert max(seen.values()) - min(seen.values()) <= 2
    assert evenly(5, 9) == [0, 1, 2, 3, 4]
    assert evenly(5, 0) == []


def test_rows_become_the_trajectory_that_completions_do():
    world = Sum()
    played = runner(world).play(asked(world))
    batch = world_batch(played)
    done = [row.completion(p.asked.group, p.asked.member, cut=p.cut) for p in played for row in p.graph.rows()]
    made = episodes(done, [p.ret for p in played])
    assert torch.equal(made.traj.obs, batch.rows.traj.obs)
    assert batch.reward.tolist() == [t.reward for p in played for t in p.turns]
    assert torch.zeros(len(played)).index_add(0, batch.owner, batch.reward).tolist() == [p.ret for p in played]


def test_a_world_is_found_by_name_or_file_and_others_are_refused(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("from reference.tiny_worlds import make\n\ndef other(): return 3\n")
    monkeypatch.chdir(tmp_path)
    assert isinstance(load_world("mine.py:make", {"digits": 2}), World)
    monkeypatch.setitem(WORLDS, "sums", "reference.tiny_worlds:variant")
    for spec, options, words in (
        ("mine.py:make", {"digit": 2}, "world mine.py:make has no option 'digit'; nearest: digits"),
        ("mine.py:other", {}, "returned a int, not an operant.language.World"),
        ("dusk/tiny", {}, "there is no world 'dusk/tiny'"),
        ("gone.py:make", {}, "no file gone.py"),
    ):
        with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
            load_world(spec, options)
    assert load_world("sums/2").most == 100


def test_episodes_that_are_filmed_have_a_picture_of_all_that_was_seen():
    world, policy = Sum(), model()
    plain = runner(world, policy).play(asked(world))
    shots = []

    class Drawn(Sum):
        def open(self, scenario):
            session, taken = super().open(scenario), iter(range(100))

            async def picture():
                shots.append(scenario.id)
                return f"{scenario.id}-{next(taken)}".encode()

            session.picture = picture
            return session

    its = runner(Drawn(), policy)
    its.filmed = frozenset({0, 7})
    played = its.play(asked(world))
    assert numbers(played) == numbers(plain)  # looking changes nothing
    for p in played:
        wanted = len(p.turns) + 1 if p.asked.id in its.filmed else 0
        assert p.pictures == [f"{p.asked.scenario.id}-{k}".encode() for k in range(wanted)]
    assert len(shots) == sum(len(p.pictures) for p in played) > 2
