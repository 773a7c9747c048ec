"""LOOP in a browser: one small policy for eight tasks of MiniWoB++, cloned on scripts and then learnt by reward."""

from __future__ import annotations

from operant.recipes.claims import Claim
from operant.recipes.loop import HOW, learnt
from operant.recipes.recipe import Numbers, Recipe, Trial

WORLD = "web/ladder"
ARMS = ("loop", "reinforce", "unmasked")


def trial(t: Trial) -> Numbers:
    """What learning by reward makes of a seed's clone: success on held-out pages, greedily and sampled."""
    return learnt(t, WORLD, HOW[t.arm][1])


RECIPE = Recipe(
    name="web-ladder",
    title="A ladder of eight tasks in a browser: cloned, then LOOP",
    source="Liu et al. (2018), Reinforcement learning on web interfaces using workflow-guided exploration, "
    "arXiv:1802.08802 (MiniWoB++); Chen et al. (2025), arXiv:2502.01600 (LOOP); Wei et al. (2025), WebAgent-R1, "
    "arXiv:2505.16421",
    paper="MiniWoB++ asks for clicks and words on small pages, and learning by reward alone finds little where a "
    "success takes several of them: Liu et al. began from demonstrations. WebAgent-R1 imitates first, then learns by "
    "rewards of 0 and 1 from groups of episodes: models of 3 and 8 billion parameters went from 6 and 9 % to 34 and "
    "45 % of the tasks of WebArena-Lite.",
    here="Eight tasks whose pages are drawn from a seed: click-test-2, click-button, enter-text, click-checkboxes, "
    "login-user, choose-list, click-tab-2-easy and email-inbox-forward-nl, in Chromium, shown as the nodes of the "
    "page, without instructions. A Llama of 1.1 million parameters, made from nothing and cloned on what scripts do in "
    "3,000 pages until it succeeds about half the time; then 100 steps of 16 pages with 6 episodes each, every arm "
    "from the same clone of its seed; 200 held-out pages. Model and tasks are few and small, the method is whole, and "
    "its numbers are of these eight tasks alone.",
    mechanism="The others of a group are the critic. Without it (`reinforce`) every success is reinforced alike, and "
    "without the mask (`unmasked`) pages are learnt as if the policy had said them.",
    arms={name: HOW[name][0] for name in ARMS},
    controls=("reinforce", "unmasked"),
    claims=(
        Claim(text="a clone of the scripts succeeds in 40 % at least", metric="greedy before", arm="loop", bar=0.4),
        Claim(text="and in 60 % at most", metric="greedy before", arm="loop", bar=0.6, most=True),
        Claim(text="LOOP adds 20 points on held-out pages, greedily", metric="gain", arm="loop", bar=0.2),
        Claim(text="LOOP is not below REINFORCE", metric="greedy after", arm="loop", over="reinforce", bar=0.0,
              must=False),
        Claim(text="LOOP is not below LOOP without its mask", metric="greedy after", arm="loop", over="unmasked",
              bar=0.0, must=False),
    ),
    trial=trial,
    minutes=240.0,
)  # fmt: skip
