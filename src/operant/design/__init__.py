"""Reward search: rewards in a language of their own, who proposes them, and the loop that trains on them.

from operant.design import TASKS, GrammarProposer, Search, search

found = search(TASKS["pendulum"], GrammarProposer(TASKS["pendulum"]), Search(), "searches/pendulum")
print(found.reward, found.outcome.score)
"""

from typing import TYPE_CHECKING

from operant.config.face import face

if TYPE_CHECKING:
    from operant.design.child import Candidate as Candidate
    from operant.design.child import train_on as train_on
    from operant.design.commands import corrected as corrected
    from operant.design.commands import translate as translate
    from operant.design.eureka import Found as Found
    from operant.design.eureka import Search as Search
    from operant.design.eureka import search as search
    from operant.design.outcome import Outcome as Outcome
    from operant.design.outcome import reflection as reflection
    from operant.design.outcome import tips as tips
    from operant.design.proposers import Feedback as Feedback
    from operant.design.proposers import GrammarProposer as GrammarProposer
    from operant.design.proposers import LanguageProposer as LanguageProposer
    from operant.design.proposers import Proposer as Proposer
    from operant.design.proposers import local as local
    from operant.design.proposers import served as served
    from operant.design.reward import Compiled as Compiled
    from operant.design.reward import Reward as Reward
    from operant.design.reward import read as read
    from operant.design.rewarded import Rewarded as Rewarded
    from operant.design.rewarded import make as make
    from operant.design.sampling_control import Planning as Planning
    from operant.design.sampling_control import controlled as controlled
    from operant.design.sandboxed import Sandboxed as Sandboxed
    from operant.design.tasks import TASKS as TASKS
    from operant.design.tasks import Quantity as Quantity
    from operant.design.tasks import Task as Task

__getattr__, __dir__ = face(
    {
        "operant.design.child": "Candidate train_on",
        "operant.design.commands": "corrected translate",
        "operant.design.proposers": "Feedback GrammarProposer LanguageProposer Proposer local served",
        "operant.design.outcome": "Outcome reflection tips",
        "operant.design.reward": "Compiled Reward read",
        "operant.design.rewarded": "Rewarded make",
        "operant.design.sampling_control": "Planning controlled",
        "operant.design.sandboxed": "Sandboxed",
        "operant.design.eureka": "Found Search search",
        "operant.design.tasks": "TASKS Quantity Task",
    }
)
