"""Episodes of a world, played by functions."""

import asyncio


def play(world, scenario, act):
    """The observations of an episode; `act(session, turn)` gives each action."""

    async def run():
        session = world.open(scenario)
        try:
            seen = [await session.reset()]
            while not (seen[-1].terminated or seen[-1].truncated):
                seen.append(await session.step(act(session, len(seen) - 1)))
        finally:
            await session.close()
        return seen

    return asyncio.run(run())


def total(seen):
    return sum(one.reward for one in seen)


def following(actions, then=""):
    """An agent that says these, and then something else for ever."""
    return lambda _, turn: actions[turn] if turn < len(actions) else then
