"""Every name of the lectures: a recipe, another name of one, or a system that is on paper only, and why."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from operant.config.errors import ConfigError
from operant.config.suggest import nearest_are

if TYPE_CHECKING:
    from operant.recipes.recipe import Recipe

RECIPES: dict[str, str] = {
    "adr": "domain randomisation whose ranges grow with the policy",
    "agile": "a reward learnt from states in which an instruction is fulfilled",
    "alphago": "imitation, a pool, values and search, stage by stage",
    "cls-rl": "few-shot classes by reinforcement, with thinking, without, and after the answer",
    "cognitive-architecture": "a mind in ten modules, each taken out in turn",
    "embodied-qa": "walk, look and answer",
    "eureka": "rewards that are searched for, against those of experts",
    "gated-attention": "instructions that open and shut channels of what is seen",
    "general-problem-solver": "means–ends analysis, and where it fails",
    "l2r": "a sentence sets the parameters of a reward, and planning does what is asked for",
    "lc-rl": "rewards that sentences name, learnt from demonstrations and planned for",
    "learn": "sentences that shape a sparse reward by potentials of what was done",
    "llava-cot": "answers in tagged stages, and a beam over them",
    "lmm-r1": "reinforcement on text alone, then on pictures",
    "loop": "agents of many turns that learn by reward, from a clone that succeeds half the time",
    "lqr": "optimal control against reinforcement learning",
    "med-r1": "what was learnt on one kind of picture, on others",
    "metaspatial": "rooms laid out over several turns, each shown",
    "mineclip": "a reward of how well what was just seen fits a caption",
    "misra-2017": "block moves by instructions, from the reward of each step alone",
    "mm-eureka": "reinforcement without a divergence, on groups that are neither all right nor all wrong",
    "mmr1": "prompts drawn by the variance of their outcomes",
    "noisy-manual": "people's descriptions of who is the enemy, and sentences about absent things",
    "ocean-r1": "reasoning first, perception after it, and what is forgotten",
    "openai-five": "recurrent PPO for teams, against itself and a pool of its past, with a spirit that grows",
    "openvlthinker": "cycles of imitation and reinforcement",
    "othink-mr1": "a divergence whose weight changes",
    "plan-act-reflect": "a plan, and whether it still holds",
    "q-insight": "how spoilt a picture is, and by what",
    "r1-v": "counting by reinforcement, and compositions that it was not trained on",
    "r1-vl": "rewards of steps",
    "react": "a thought before each action",
    "reading-manuals": "a goal, and a manual of rules that are new in every episode",
    "rearrangement": "things to their places, by skills and a plan",
    "reason-rft": "imitation of traces, then reinforcement, on three tasks",
    "reflexion": "what failed in words, and another attempt",
    "rewards-from-words": "what somebody wants of a flight, from what is said of three of them",
    "scaling-law": "three forms of the loss in size and data, fitted to a grid of small models",
    "rubik": "a cube that is solved exactly, and an arm that has to turn its faces",
    "seg-zero": "a box and two points for a segmenter that is not trained",
    "shop-history": "all earlier pages of a shop in the prompt, or a line for each, where a fact is elsewhere",
    "silg": "one interface and one network for worlds that are played by reading",
    "sim-to-sim": "a policy of one simulator in another, after randomisation or identification",
    "summarise": "imitation, a reward model and PPO on summaries, at equal length",
    "timezero": "when in a film something happens",
    "ui-r1": "actions on pages",
    "unitree": "robots that walk as they are told, by named rewards, PD targets and randomised worlds",
    "video-r1": "films with their frames in order, and shuffled",
    "vision-r1-guided": "criteria for boxes that tighten",
    "vision-r1-ptst": "a limit on length that rises",
    "visual-rft": "few-shot detection by verifiable rewards",
    "visualthinker-r1-zero": "reinforcement on a bare base, and traces that look again",
    "vlm-r1": "detection by a reward that long lists of boxes do not raise",
    "vsgrpo": "numbers of space by their relative error",
    "walk-1k-trials": "a gait of a dozen numbers, searched without derivatives",
    "web-agent-that-sees": "pages as pictures with marks, and what was seen before",
    "web-ladder": "one small policy for eight tasks of a browser, from a clone that succeeds half the time",
    "web-search-tree": "agents that search in their world, and undo by replay",
}
"""Those that run, by name; each is `operant/recipes/NAME.py`, with underscores, and holds RECIPE."""

ALIASES: dict[str, tuple[str, str]] = {
    "rewards-in-context": ("rewards-from-words", "the paper's title"),
    "medvlm-r1": ("med-r1", "the same reward on radiology; 600 samples"),
    "mulberry": ("llava-cot", "its data come from a tree search in place of a beam"),
    "no-thinking-rl": ("cls-rl", "its arm without thinking"),
    "open-llava-video-r1": ("video-r1", "GRPO on films with another model"),
    "open-r1-multimodal": ("reason-rft", "a cold start on written traces, then GRPO"),
    "open-r1-video": ("video-r1", "GRPO on films, its arm without shuffled frames"),
    "r1-onevision": ("reason-rft", "a cold start on written traces, then GRPO"),
    "r1-vision": ("reason-rft", "a cold start on written traces, then GRPO"),
    "r1-zero-vsi": ("vsgrpo", "the name of its repository"),
    "seed-bench-r1": ("video-r1", "a benchmark of GRPO on films, in three degrees of generalisation"),
    "temporal-r1": ("video-r1", "GRPO on films"),
    "time-r1": ("timezero", "its later name"),
    "think-or-not-think": ("cls-rl", "the study's title"),
    "vision-r1": ("vision-r1-ptst", "two papers have this name; the other one is vision-r1-guided"),
    "visualthinker": ("visualthinker-r1-zero", "its name in tables"),
}
"""Other names, with the recipe and why it is that."""

LANGUAGE: dict[str, tuple[str, str, str]] = {
    "gated-attention": ("instructions", "task-dependent", "a sentence gates channels of what is seen"),
    "misra-2017": ("instructions", "task-dependent", "a sentence beside where blocks are; shaped rewards"),
    "embodied-qa": ("interface", "task-dependent", "a question beside what is seen, and words as answers"),
    "agile": ("rewards", "task-dependent", "a classifier of pairs of sentence and state"),
    "learn": ("rewards", "task-dependent", "a classifier of sentence and actions so far shapes a sparse reward"),
    "lc-rl": ("rewards", "task-dependent", "a reward of sentence and cell, learnt from demonstrations, planned for"),
    "mineclip": ("rewards", "task-dependent", "how well a clip fits a caption, learnt by contrast"),
    "rewards-from-words": ("rewards", "task-dependent", "a posterior over weights from what somebody says"),
    "l2r": ("rewards", "task-dependent", "a sentence sets residuals of a reward"),
    "eureka": ("rewards", "task-dependent", "a reward that is written, and rewritten by a reflection in words"),
    "reading-manuals": ("knowledge", "task-independent", "a manual of rules, and a goal, scale and shift maps"),
    "noisy-manual": ("knowledge", "task-independent", "each place attends to people's descriptions"),
    "silg": ("knowledge", "both", "one reader for manuals and instructions"),
    "rearrangement": ("beside", "none", "goals are coordinates; a plan of skills stands where a sentence might"),
}
"""Of recipes of language: where the survey has them, whether the text is of the task, and how it enters."""

_MODEL = "operant train grpo TASK.py --model FOLDER --device cuda with the model's folder of the hub"
_CLOSED = ("its weights are not published", "operant agent TASK --world W --model URL of a server that speaks for it")
_OPEN = "billions of pretrained parameters: any image-text-to-text model of the hub is trained as it is, on a GPU"
ON_PAPER: dict[str, tuple[str, str]] = {
    "claude": _CLOSED, "gemini": _CLOSED, "gpt-4o": _CLOSED,
    "r1-omni": ("its sound is read by a tower that no model here has", _MODEL),
    **dict.fromkeys(("internvl2.5", "minicpm-o", "ovis2", "qwen2.5-vl", "vita-1.5"), (_OPEN, _MODEL)),
}  # fmt: skip
"""Systems that do not run here, with why and the command that would run the nearest thing."""


def recipe(name: str) -> Recipe:
    """The recipe of this name, or of the one that it is another name of.

    Raises:
        ConfigError: if there is none, or the system is on paper only.
    """
    name = "-".join(str(name).lower().split())  # as papers write it: R1-V, Think or Not Think
    if name in ON_PAPER:
        why, command = ON_PAPER[name]
        raise ConfigError(f"{name} is on paper only: {why}. The nearest thing that runs: {command}")
    name = ALIASES[name][0] if name in ALIASES else name
    if name not in RECIPES:
        known = (*RECIPES, *ALIASES, *ON_PAPER)
        raise ConfigError(f"there is no recipe {name}{nearest_are(name, known)}. All: operant recipe list")
    return import_module(f"operant.recipes.{name.replace('-', '_')}").RECIPE


def standing() -> list[tuple[str, str, str]]:
    """Name, kind (recipe, alias, on paper) and a line about it, of every name."""
    return [
        *((name, "recipe", line) for name, line in RECIPES.items()),
        *((name, "alias", f"{of}: {why}") for name, (of, why) in ALIASES.items()),
        *((name, "on paper", why) for name, (why, _) in ON_PAPER.items()),
    ]
