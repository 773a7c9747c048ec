"""What the recipes of agents without training take away in their controls changes what is decided."""

import asyncio

from agents.test_harness import Corridor, Recorded
from operant.agents import Episode, Form, PlanActReflect, Reflexion, TreeSearch
from operant.agents.harness.agents import played
from operant.recipes import recipe
from operant.recipes.thinking import WORLDS, _Fixed, told


class Listening(Recorded):
    """Goes where its notes say; judges 1 to be better than where it began."""

    async def __call__(self, messages, *, purpose, draw, warm):
        text, last = "\n".join(m["content"] for m in messages), messages[-1]["content"]
        if purpose in ("plan", "lesson"):
            return "jump where you are at 1"
        if purpose == "value":
            return "10" if "there" in last else "0" if "fell" in last else "5"
        return "right" if "at 0" in last or "jump where" not in text.partition("Say")[2] else "jump"


def ended(agent, model):
    world = Corridor()
    episode = Episode(world, world.scenarios("test")[0], model, form=Form(thinks=False), calls=20)
    asyncio.run(played(agent, episode))
    return episode


def test_a_blank_plan_a_blank_lesson_and_equal_values_decide_differently():
    for agent, fixed in ((PlanActReflect(), {"plan": "none."}), (Reflexion(trials=2), {"lesson": "none."})):
        assert ended(agent, Listening()).success
        assert not ended(agent, _Fixed(Listening(), fixed)).success
    both = ("right", "left", "right", "jump", "right", "jump")

    class Two(Recorded):
        async def __call__(self, messages, *, purpose, draw, warm):
            if purpose == "value":
                return await Listening()(messages, purpose=purpose, draw=draw, warm=warm)
            return self.said.pop(0)

    search = TreeSearch(branch=2, states=3)
    assert ended(search, Two(*both)).success
    assert not ended(search, _Fixed(Two(*both), {"value": "5"})).success


def test_each_agent_and_its_controls_stand_in_every_world():
    for name in ("react", "plan-act-reflect", "reflexion", "web-search-tree"):
        its = recipe(name)
        assert len(its.arms) == 3 * len(WORLDS)
        assert len(its.claims) == 3 * len(WORLDS)
        assert its.takes_model


def test_what_is_told_is_of_all_episodes():
    episodes = [ended(Reflexion(trials=1), Recorded("sing", "right", "jump")),
                ended(Reflexion(trials=1), Recorded("right", "right"))]  # fmt: skip
    assert told(episodes) == {"success": 0.5, "malformed": 0.2, "calls": 2.5, "undone": 0.0}
