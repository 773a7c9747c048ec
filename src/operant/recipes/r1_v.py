"""R1-V: counting by reinforcement, and compositions of shapes and colours that were never trained on."""

from __future__ import annotations

from operant.recipes.claims import Claim
from operant.recipes.recipe import Numbers, Recipe, Trial
from operant.recipes.seeing import SHUFFLED, THINK, Arm, Stage, Study

STUDY = Study(
    arms={
        "base": Arm(text="the small base, asked to think", asked=THINK),
        "sft-answer": Arm(text="imitates right answers", stages=[Stage("sft")]),
        "sft-trace": Arm(text="imitates right traces", stages=[Stage("sft")], asked=THINK),
        "rl-think": Arm(text="GRPO, thinks first", stages=[Stage()], asked=THINK),
        "rl-direct": Arm(text="GRPO, the answer alone", stages=[Stage()]),
        "rl-shuffled": Arm(
            text="GRPO, thinks first, paid for other questions' answers", stages=[Stage(asked=SHUFFLED)],
            asked=THINK,
        ),
    },
    shown={"heads": "count", "split": "cogent-a cogent-b"},
)  # fmt: skip


def trial(t: Trial) -> Numbers:
    """Accuracies of an arm in the split that it learns from and in the other, greedy, sampled, voted, and blind."""
    return STUDY(t)


RECIPE = Recipe(
    name="r1-v",
    title="R1-V: counting by reinforcement",
    source="Chen et al. (2025), R1-V: reinforcing super generalization ability in vision language models with less "
    "than $3, github.com/Deep-Agent/R1-V",
    paper="Qwen2-VL-2B learnt to count the things in 70,000 pictures of CLEVR-CoGenT's split A by GRPO, paid for the "
    "answer and for its form. After 100 steps it counted 82.5 % of 200 Super-CLEVR questions right, 48 % before; "
    "asked for the answer alone 86 %.",
    here="Pictures of 32 pixels with 3 to 8 things in 16 cells, in split A and in B, where squares and triangles have "
    "exchanged their colours. A base of 0.5 million parameters, made once for all seeds, saw both splits' questions "
    "with 15 % of the answers wrong, in three forms; what follows it sees A alone. 150 steps of 32 questions; GRPO "
    "takes 8 answers to each at a learning rate of 1e-4. Imitation has as many questions and steps, and no wrong "
    "answer. 300 new questions a split. With --model a model of the hub counts in pictures of 224 pixels.",
    mechanism="The group: an answer is worth how much better it is than the seven others to its question. With other "
    "questions' answers in place of the right ones (`rl-shuffled`) it says nothing.",
    arms={name: arm.text for name, arm in STUDY.arms.items()},
    controls=("base", "rl-shuffled"),
    claims=(
        Claim(text="out of its split GRPO counts better than the base", metric="out", arm="rl-think", over="base",
              bar=0.15),
        Claim(text="answers have their form", metric="out format", arm="rl-think", bar=0.95),
        Claim(text="it is the pictures: on shuffled ones it loses", metric="out blind", arm="rl-think", bar=0.5,
              most=True),
        Claim(text="shuffled rewards teach nothing", metric="out", arm="rl-shuffled", over="base", bar=0.05, most=True),
        Claim(text="out of its split it counts better than by imitated answers", metric="out", arm="rl-think",
              over="sft-answer", bar=0.05, must=False),
        Claim(text="out of its split it counts better than by imitated traces", metric="out", arm="rl-think",
              over="sft-trace", bar=0.05, must=False),
        Claim(text="the answer alone is no worse than thinking, out of its split", metric="out", arm="rl-direct",
              over="rl-think", bar=0.0, must=False),
        Claim(text="votes over samples gain too: it is more than sharper", metric="out maj@8", arm="rl-think",
              over="base", bar=0.0, must=False),
    ),
    trial=trial,
    seeds=(1, 2, 3),
    minutes=60.0,
    takes_model=True,
)  # fmt: skip
