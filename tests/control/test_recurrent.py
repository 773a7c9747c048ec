"""Memory: what is learnt from whole rows is what acted step by step, in every way an environment resets."""

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import operant
from operant.config.errors import ConfigError
from operant.config.resolve import resolve
from operant.control.acting import sampler
from operant.control.agent import Agent
from operant.control.collector import Collector
from operant.control.networks.memory import Memory
from operant.control.setup import on_policy
from operant.control.spec import AgentSpec
from operant.env import make
from operant.env.memory import cartpole_positions
from operant.run.evaluate import evaluate

SHORT = {"total_steps": 512, "algo.horizon": 64, "env.num": 4, "eval.episodes": 4, "save.videos": False}
KINDS = ["lstm", "gru"]


def agent_of(memory, *, shared=True, obs_dim=2):
    spec = AgentSpec(
        obs_dim=obs_dim, action_kind="discrete", action_sizes=(2,), hidden=(16,), memory=memory, memory_size=8,
        shared=shared, obs_clip=10.0,
    )  # fmt: skip
    agent = Agent(spec, torch.Generator().manual_seed(0))
    with torch.no_grad():
        agent.policy.net.head.layers[-1].weight.mul_(300)
    return agent


def environments(mode, num=3):
    if mode == "inprocess":
        return make(cartpole_positions, num, backend="inprocess")

    def many(num_envs):
        return SyncVectorEnv([cartpole_positions] * num_envs, autoreset_mode=AutoresetMode[mode])

    return make(many, num)


@pytest.mark.parametrize("mode", ["inprocess", "NEXT_STEP", "SAME_STEP", "DISABLED"])
@pytest.mark.parametrize("memory", KINDS)
def test_rows_say_of_every_decision_what_the_sampler_said(mode, memory):
    agent = agent_of(memory)
    collect = Collector(environments(mode), sampler(agent.policy, agent), np.random.default_rng(0), seed=3)
    ends = 0
    for _ in range(3):  # the second and third segment go on from what was remembered
        traj = collect(50)
        logp, _, value = agent.evaluate(traj.seen, traj.action)
        torch.testing.assert_close(logp[traj.acted], traj.logp[traj.acted], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(agent.critic(traj.seen), value)
        ends += int((traj.terminated | traj.truncated).sum())
    assert ends > 5


def test_forgetting_an_end_is_noticed():
    """The known bug: the state is carried from one episode into the next."""
    agent = agent_of("gru")
    sample = sampler(agent.policy, agent)
    sample.forget = lambda rows: None
    traj = Collector(environments("inprocess"), sample, np.random.default_rng(0), seed=3)(50)
    logp, _ = agent.policy.evaluate(traj.seen, traj.action)
    assert not torch.allclose(logp[traj.acted], traj.logp[traj.acted], rtol=1e-4, atol=1e-5)


def test_actor_and_critic_may_have_memories_of_their_own():
    agent = agent_of("lstm", shared=False)
    assert agent.remembers == 2 * 2 * 8
    collect = Collector(environments("inprocess"), sampler(agent.policy, agent), np.random.default_rng(0), seed=3)
    collect(33)
    traj = collect(40)  # which goes on from what was remembered
    logp, _ = agent.policy.evaluate(traj.seen, traj.action)
    torch.testing.assert_close(logp[traj.acted], traj.logp[traj.acted], rtol=1e-4, atol=1e-5)
    state, begins = traj.obs["memory"][:, 5], traj.obs["begins"]
    row = next(n for n in range(3) if not begins[n, 1:6].any())
    with torch.no_grad():
        value = agent.step(traj.obs["obs"][:, 5], state)[1]
        torch.testing.assert_close(value[row], agent.critic(traj.obs)[row, 5], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("memory", KINDS)
def test_an_evaluation_forgets_what_ended(memory):
    """Episodes measured one after the other in one copy are those of copies of their own."""
    agent = agent_of(memory)

    def returns(num):
        env = make(cartpole_positions, num, backend="inprocess")
        seen = evaluate(env, lambda obs: agent.decide(obs), episodes=num, seed=7, forget=agent.forget)
        return seen.returns

    together = returns(4)
    env = make(cartpole_positions, 1, backend="inprocess")
    alone = []
    for n in range(4):
        agent.decide(np.ones((1, 2), np.float32))  # something to forget
        alone += evaluate(env, agent.decide, episodes=1, seed=7 + n, forget=agent.forget).returns.tolist()
    assert together.tolist() == alone


@pytest.mark.parametrize("memory", KINDS)
def test_a_recurrent_run_resumes_bit_for_bit_and_is_measured(memory, tmp_path):
    same = SHORT | {"policy.memory": memory, "policy.memory_size": 8, "save.every": 256, "algo.lr_schedule": "constant"}

    def trained(steps):
        env = "operant.env.memory:cartpole_positions"
        return operant.train("ppo", env, runs=tmp_path, quiet=True, seed=3, **(same | {"total_steps": steps}))

    whole, part = trained(512), operant.resume(trained(256).path, to=512, quiet=True)
    for (name, a), b in zip(whole.policy.state_dict().items(), part.policy.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert whole.evaluate(episodes=3)["mean"] == operant.Run(whole.path).evaluate(episodes=3)["mean"]
    policy = operant.Run(whole.path).policy
    first = [policy.act(np.array([0.1, 0.2], np.float32)) for _ in range(3)]
    policy.forget()
    assert [policy.act(np.array([0.1, 0.2], np.float32)) for _ in range(3)] == first


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_gates_begin_with_the_span_that_is_to_be_remembered(kind):
    """What a unit keeps of its state after `span` steps of nothing: none of it with biases of zero, much of it here."""
    kept = {}
    for span in (None, 20.0):
        memory = Memory(kind, 1, 64, torch.Generator().manual_seed(0))
        for name, weight in memory.cell.named_parameters():
            if name.startswith("weight"):
                torch.nn.init.zeros_(weight)
        if span is not None:
            memory.reach(span, torch.Generator().manual_seed(1))
        state = torch.ones(1, memory.state)
        for _ in range(20):
            _, state = memory.step(torch.zeros(1, 1), state)
        kept[span] = state[0, -64:]
    assert kept[None].max() < 1e-5
    assert kept[20.0].median() > 0.1
    assert kept[20.0].min() >= 2.0**-20 * 0.99  # u of 2, the least: half after each step
    assert kept[20.0].max() <= (1 - 1 / 20) ** 20 * 1.01


def test_a_span_is_asked_for_on_the_command_line_and_needs_a_memory():
    with pytest.raises(ConfigError, match="memory_span is set and there is no memory"):
        on_policy(resolve("ppo", "CartPole-v1", overrides={"policy.memory_span": 20.0}).config, "CartPole-v1")
    with pytest.raises(ConfigError, match="expected a number above 2"):
        resolve("ppo", "CartPole-v1", overrides={"policy.memory": "lstm", "policy.memory_span": 2.0})
    few, env = {"env.num": 1, "policy.memory_size": 4, "policy.memory": "gru"}, "operant.env.memory:t_maze"
    runs = [resolve("ppo", env, overrides=few | more).config for more in ({}, {"policy.memory_span": 20.0})]
    agents = [on_policy(cfg, env).agent for cfg in runs]
    plain, spanned = ([p for n, p in agent.named_parameters() if n.endswith("bias_ih_l0")] for agent in agents)
    assert len(plain) == len(spanned) == 2
    assert not any(bias.any() for bias in plain)
    assert all((bias[4:8] > 0).all() and not bias[:4].any() for bias in spanned)
