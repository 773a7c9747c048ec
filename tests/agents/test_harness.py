"""Agents without training: what each asks of a model, message by message, and what becomes of what it is answered."""

import asyncio

import pytest

from operant.agents import Calculator, DeskWorld, Grid, Quests
from operant.agents.harness import agents, traces
from operant.agents.harness.agents import AGENTS, Majority, PlanActReflect, Reflexion, TreeSearch, play, played
from operant.agents.harness.episode import THINK, Episode, Form
from operant.agents.harness.models import Read, Served
from operant.config.errors import ConfigError
from operant.language.episodes.world import Observation, Scenario


class Corridor:
    """Cells 0 to 3 in a row, at 2 a pit; `right`, `left`, and `jump` over one. At 3 all is well."""

    name, system, turns, splits = "corridor", "Say right, left or jump.", 6, ("test",)

    def scenarios(self, split):
        return [Scenario(id=k, template="corridor", seed=k, instruction="Go to 3.") for k in range(4)]

    def open(self, scenario):
        return Walk()

    def oracle(self, scenario):
        return ["right", "jump"]


class Walk:
    opened = 0

    def __init__(self):
        self.at = 0
        Walk.opened += 1

    async def reset(self):
        return Observation(text="Go to 3. You are at 0.", state="0")

    async def step(self, action):
        word = action.strip().splitlines()[-1] if action.strip() else ""
        if word not in ("right", "left", "jump"):
            return Observation(text="PARSE right, left or jump", error="PARSE right, left or jump", state=str(self.at))
        self.at = max(0, self.at + {"right": 1, "left": -1, "jump": 2}[word])
        ended = self.at in (2, 3)
        won = self.at == 3
        text = "You are there." if won else "You fell." if ended else f"You are at {self.at}."
        return Observation(text=text, reward=float(won), terminated=ended, state=str(self.at))

    async def close(self):
        pass


class Recorded:
    """A model that answers as it was recorded, and remembers what it was asked."""

    def __init__(self, *said):
        self.said, self.asked, self.warm = list(said), [], []

    async def __call__(self, messages, *, purpose, draw, warm):
        self.asked.append((purpose, messages))
        self.warm.append(warm)
        return self.said.pop(0)


def tried(agent, *said, form=None, calls=None, begun=()):
    model, world = Recorded(*said), Corridor()
    episode = Episode(world, world.scenarios("test")[0], model, form=form, calls=calls)
    why = asyncio.run(played(agent, episode, begun))
    return episode, model, why


SYSTEM = {"role": "system", "content": f"Say right, left or jump.\n{THINK}"}


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def test_react_asks_with_all_that_was_thought_done_and_seen():
    episode, model, why = tried(agents.turns, "One on.\nright", "Over the pit.\njump")
    assert model.asked == [
        ("act", [SYSTEM, user("Go to 3. You are at 0.")]),
        ("act", [SYSTEM, user("Go to 3. You are at 0."), assistant("One on.\nright"), user("You are at 1.")]),
    ]
    assert (episode.success, episode.asked, episode.malformed, why) == (True, 2, 0, "")
    assert [(s.thought, s.action) for s in episode.steps[1:]] == [("One on.", "right"), ("Over the pit.", "jump")]


def test_who_only_acts_is_told_the_worlds_own_words():
    agent, form = AGENTS["act"]
    _, model, _ = tried(agent, "right", "jump", form=form)
    assert model.asked[0] == ("act", [{"role": "system", "content": Corridor.system}, user("Go to 3. You are at 0.")])


def test_what_cannot_be_read_is_answered_and_counted_and_ends_nothing():
    episode, model, _ = tried(agents.turns, "sing", "", "right", "jump")
    assert model.asked[1][1][-1] == user("PARSE right, left or jump")
    assert (episode.malformed, episode.success) == (2, True)


def test_a_plan_is_made_reflected_on_after_an_error_and_made_anew():
    said = ("Walk on.", "fly", "REPLAN: I cannot fly.", "Step, then jump.", "right", "jump")
    episode, model, _ = tried(PlanActReflect(), *said)
    begin = "Go to 3. You are at 0."
    tail = [assistant("fly"), user("PARSE right, left or jump")]
    assert model.asked[:5] == [
        ("plan", [SYSTEM, user(f"{begin}\n{agents.PLAN}")]),
        ("act", [SYSTEM, user(f"{begin}\nPlan: Walk on.")]),
        ("reflect", [SYSTEM, user(f"{begin}\nPlan: Walk on."), tail[0],
                     user(f"{tail[1]['content']}\n{agents.REFLECT}")]),
        ("plan", [SYSTEM, user(f"{begin}\nPlan: Walk on."), tail[0],
                  user(f"{tail[1]['content']}\nYou wrote: REPLAN: I cannot fly.\n{agents.PLAN}")]),
        ("act", [SYSTEM, user(f"{begin}\nPlan: Step, then jump."), *tail]),
    ]  # fmt: skip
    assert episode.success
    assert episode.asked == 6
    kept, model, _ = tried(PlanActReflect(), "Walk on.", "fly", "CONTINUE", "right", "jump")
    assert kept.notes == ["Plan: Walk on."]
    _, model, _ = tried(PlanActReflect(when=lambda e: True), "p", "right", "continue", "jump")
    assert [purpose for purpose, _ in model.asked] == ["plan", "act", "reflect", "act"]


def test_a_lesson_of_what_failed_stands_in_the_next_attempt():
    episode, model, _ = tried(Reflexion(), "right", "right", "At 1 jump.", "right", "jump")
    failed = [user("Go to 3. You are at 0."), assistant("right"), user("You are at 1."), assistant("right")]
    assert model.asked[2] == ("lesson", [SYSTEM, *failed, user(f"You fell.\n{agents.LESSON}")])
    assert model.asked[3] == ("act", [SYSTEM, user("Go to 3. You are at 0.\nLesson: At 1 jump.")])
    assert model.warm == [False, False, False, True, True]
    assert episode.success
    assert len(episode.steps) == 3


def test_without_reflection_it_only_tries_again_and_lessons_are_few():
    episode, model, _ = tried(Reflexion(trials=2, reflects=False), "right", "right", "right", "jump")
    assert [purpose for purpose, _ in model.asked] == ["act"] * 4
    assert episode.success
    said = [x for k in range(3) for x in ("right", "right", f"lesson {k}")]
    episode, _, why = tried(Reflexion(memory=2, trials=9), *said, calls=9)
    assert episode.notes == ["Lesson: lesson 1", "Lesson: lesson 2"]
    assert (why, episode.asked, episode.success) == ("calls", 9, False)


def test_the_search_goes_on_from_what_looks_best_and_undoes_by_replay():
    before = Walk.opened
    episode, model, _ = tried(TreeSearch(branch=2), "right", "left", "5", "right", "jump", "0", "10")
    begin, there = user("Go to 3. You are at 0."), [assistant("right"), user("You are at 1.")]
    assert model.asked == [
        ("act", [SYSTEM, begin]),
        ("act", [SYSTEM, begin]),
        ("value", [SYSTEM, begin, there[0], user(f"You are at 1.\n{agents.VALUE}")]),
        ("act", [SYSTEM, begin, *there]),
        ("act", [SYSTEM, begin, *there]),
        ("value", [SYSTEM, begin, *there, assistant("right"), user(f"You fell.\n{agents.VALUE}")]),
        ("value", [SYSTEM, begin, *there, assistant("jump"), user(f"You are there.\n{agents.VALUE}")]),
    ]
    assert model.warm == [False, True, False, False, True, False, False]
    assert (episode.undone, Walk.opened - before) == (1, 2)
    assert episode.said == ["right", "jump"]
    assert [step.again for step in episode.steps] == [True, True, False]


def test_of_equal_calls_the_tree_reaches_what_a_walk_does_not():
    """A model that always takes the pit first: a walk ends there, the search takes it back."""

    class Greedy(Recorded):
        async def __call__(self, messages, *, purpose, draw, warm):
            self.asked.append((purpose, messages))
            last = messages[-1]["content"]
            if purpose == "value":
                return "10" if "there" in last else "0" if "fell" in last else "no idea" if "at 0" in last else "5"
            return "right" if "at 0" in last or not warm else "jump"

    world = Corridor()
    for agent, wins in ((agents.turns, False), (TreeSearch(branch=2), True)):
        episode = Episode(world, world.scenarios("test")[0], Greedy(), calls=12)
        asyncio.run(played(agent, episode))
        assert episode.success is wins
    assert episode.undone >= 1
    assert [step.seen.text for step in episode.steps][1:] == ["You are at 1.", "You are there."]


def test_a_search_whose_calls_are_spent_stands_at_the_best_that_it_found():
    episode, _, why = tried(TreeSearch(branch=1), "right", "7", "right", "0", "right", calls=4)
    assert why == "calls"
    assert episode.said == ["right"]


def test_most_episodes_decide_where_it_ends():
    said = ("right", "right", "right", "jump", "right", "jump")
    episode, model, _ = tried(Majority(episodes=3), *said)
    assert episode.success
    assert model.warm == [False, False, True, True, True, True]
    episode, _, why = tried(Majority(episodes=3), "right", "right", "right", calls=3)
    assert (why, episode.success, episode.said) == ("", False, ["right", "right"])
    episode, _, why = tried(Majority(), "right", calls=1)
    assert (why, episode.success) == ("calls", False)


class Breaking(Corridor):
    """A corridor in which so many steps or beginnings raise, from one on."""

    def __init__(self, first, times):
        self.count, self.first, self.times = 0, first, times

    def open(self, scenario):
        return Broken(self)


class Broken(Walk):
    def __init__(self, world):
        super().__init__()
        self.world = world

    def fault(self):
        self.world.count += 1
        if self.world.first <= self.world.count < self.world.first + self.world.times:
            raise KeyError("boom")

    async def reset(self):
        self.fault()
        return await super().reset()

    async def step(self, action):
        self.fault()
        return await super().step(action)


@pytest.mark.parametrize(("first", "times"), [(1, 2), (2, 1), (3, 1), (3, 2)])
def test_a_world_that_breaks_is_begun_anew_and_no_call_is_made_twice(first, times):
    tools = {"say": ("says it", str.upper)}
    said = ["right", "tool say ho", "jump"]
    whole, broken = (
        Episode(world, Scenario(id=0, template="corridor", seed=0, instruction="Go to 3."), Recorded(*said),
                form=Form(tools=tools), calls=3)
        for world in (Corridor(), Breaking(first, times))
    )  # fmt: skip
    for episode in (whole, broken):
        assert asyncio.run(played(agents.turns, episode)) == ""
    assert broken.success
    assert broken.log == whole.log
    assert broken.asked == 3


def test_one_that_breaks_again_and_again_raises_what_it_raises():
    world = Breaking(2, 99)
    episode = Episode(world, world.scenarios("test")[0], Recorded("right"))
    with pytest.raises(KeyError, match="boom"):
        asyncio.run(played(agents.turns, episode))
    assert world.count == 4  # begun, broken; then what begins it breaks, too


def test_a_tool_answers_in_place_of_the_world_and_a_wrong_one_is_told_so():
    form = Form(thinks=False, tools={"length": ("letters of a text", lambda text: str(len(text)))})
    said = ("tool length abc", "tool width abc", "right", "jump")
    episode, model, _ = tried(agents.turns, *said, form=form)
    assert model.asked[0][1][0]["content"].endswith("tool NAME TEXT. The tools:\nlength: letters of a text")
    assert [step.seen.text for step in episode.steps[1:3]] == ["3", "PARSE there is no tool 'width': there is length"]
    assert (episode.malformed, episode.success) == (1, True)


def test_what_is_long_is_cut():
    world = Corridor()
    form = Form(most=8)
    assert form.shown(Observation(text="Go to 3. You are at 0.")) == "Go to 3. […]"
    assert form.system(world) == SYSTEM["content"]


@pytest.mark.parametrize(
    "world", [Grid(train=2), Quests(train=2), Calculator(train=2), DeskWorld(True, "calls"), DeskWorld(True)]
)
def test_one_agent_plays_every_world(world):
    scenario = world.scenarios("train")[0]
    said = [f"I think so.\n{action}" for action in world.oracle(scenario)]
    (episode,) = play(agents.turns, world, [scenario], Read(said), Form())
    assert episode.success
    assert {step.thought for step in episode.steps[1:]} == {"I think so."}
    getattr(world, "close", lambda: None)()


def test_a_trace_is_done_again_and_gone_on_from(tmp_path):
    episode, _, _ = tried(Reflexion(), "right", "right", "At 1 jump.", "Now.\nright", "jump")
    head = {"world": "corridor", "options": {}, "split": "test", "scenario": 0}
    traces.write(tmp_path / "trace.jsonl", episode, head)
    stored = traces.read(tmp_path / "trace.jsonl")
    assert stored.head["scenario"] == 0
    assert stored.said == ["Now.\nright", "jump"]
    assert sum('"call": "lesson"' in line or '"call":"lesson"' in line for line in
               (tmp_path / "trace.jsonl").read_text().splitlines()) == 1  # fmt: skip
    again, _, _ = tried(agents.turns, begun=stored.said)
    assert traces.parted(again.steps, stored) is None
    branch, model, _ = tried(agents.turns, "left", "right", "right", begun=stored.said[:1])
    assert model.asked[0][1][-2:] == [assistant("Now.\nright"), user("You are at 1.")]
    assert branch.said == ["Now.\nright", "left", "right", "right"]
    assert traces.parted(branch.steps, stored) == 2
    (tmp_path / "other.jsonl").write_text('{"step": 0}\n')
    with pytest.raises(ConfigError, match="no trace of an agent"):
        traces.read(tmp_path / "other.jsonl")


def test_a_server_is_asked_with_a_seed_for_each_call():
    asked = []

    class Client:
        def generate(self, prompts, **how):
            asked.append(how)
            return [type("Reply", (), {"text": "right" if len(asked) == 1 else "jump"})]

    world = Corridor()
    episodes = play(Reflexion(), world, world.scenarios("test")[:1], Served(client=Client(), seed=3), Form())
    assert episodes[0].success
    assert [how["temperature"] for how in asked] == [0.0, 0.0]
    assert len({how["seed"] for how in asked}) == 2


def test_a_model_of_this_machine_answers_alike_alone_and_beside_others():
    pytest.importorskip("transformers")
    from operant.agents.harness.models import Local
    from operant.language.model.fresh import fresh
    from operant.language.settings.runs import BaseConfig

    shape = BaseConfig(width=16, layers=1, heads=2, positions=400, tokenizer="words")
    policy = fresh(shape, ["Go to 3. You are at 0. right left jump PARSE"] * 9)
    world = Corridor()
    made = [Local(policy, seed=1, temperature=1.0, max_tokens=4) for _ in range(2)]
    many = play(agents.turns, world, world.scenarios("test"), made[0], AGENTS["act"][1])
    few = play(agents.turns, world, world.scenarios("test"), made[1], AGENTS["act"][1], together=1)
    assert [e.said for e in many] == [e.said for e in few]
    assert len({tuple(e.said) for e in many}) > 1
    small = play(agents.turns, world, world.scenarios("test")[:1], Local(policy, seed=1, max_tokens=390), Form())
    assert small[0].asked == 0
    broken = Local(policy, seed=1, max_tokens=4)
    broken.engine.generate = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        play(agents.turns, world, world.scenarios("test"), broken, Form())
