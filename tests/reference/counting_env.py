"""An environment that counts its steps and its copies, in a file of a person's own: it ends at a step, or never."""

from operant.cli.main import main

CODE = """import gymnasium as g, numpy as np
OPEN = [0, 0]  # how many now, how many at most
class E(g.Env):
    action_space = g.spaces.Discrete(2)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
    def __init__(self, ends=0, table=False, most=99, render_mode=None):
        self.ends, self.table, self.render_mode = ends, table, render_mode
        self.observation_space = g.spaces.Discrete(3) if table else g.spaces.Box(-1, 1, (2,), np.float32)
        if OPEN[0] >= most: raise OSError(98, "Address already in use")
        OPEN[0] += 1; OPEN[1] = max(OPEN)
    def obs(self): return 1 if self.table else self.np_random.uniform(-1, 1, 2).astype(np.float32)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed); self.t = 0; return self.obs(), {}
    def step(self, a):
        self.t += 1; return self.obs(), 1.0, self.t == self.ends, False, {}
    def render(self): return np.zeros((32, 32, 3), np.uint8)
    def close(self): OPEN[0] -= 1
def vector(num_envs, ends=0):
    return g.vector.SyncVectorEnv([lambda: E(ends)] * num_envs)
class One(E):
    def __init__(self, table=False, most=1, render_mode=None): super().__init__(9, table, most, render_mode)
def fixed():
    return g.vector.SyncVectorEnv([lambda: One(most=99)] * 3)
"""
SMALL = ["--algo.horizon=32", "--algo.batch=32", "--algo.epochs=1", "--policy.hidden=8"]
SHORT = ["--total-steps=64", "--no-save.videos", "--no-save.report"]


def train(folder, algorithm, name, flags, *, code=0):
    """Train on an environment of the file for 64 steps; the run folder."""
    (folder / "e.py").write_text(CODE)
    words = ["train", algorithm, f"{folder / 'e.py'}:{name}", *(SMALL if algorithm == "ppo" else []), *SHORT, *flags]
    assert main([*words, "--runs", str(folder / "runs")]) == code
    return sorted((folder / "runs").iterdir())[-1]
