"""Lets the border's tests run on a tree from before the modules moved: new names find the modules of old.

Loaded by `python tests/border/count.py --against COMMIT`. A name without an old module is missing there, and a test
that needs it is skipped: it says nothing about what that tree did.
"""

import importlib
import importlib.abc
import importlib.util
import sys

import pytest

OLD = {
    "operant.tabular": "operant.algo.tabular",
    "operant.control": "operant.algo.ppo",
    "operant.run": "operant.training",
    "operant.run.folder": "operant.training.folder",
    "operant.language.model.language_model": "operant.policy.language",
    "operant.language.text": "operant.data",
    "operant.language.text.conversation": "operant.data.conversation",
    "operant.language.text.pairs": "operant.data.pairs",
    "operant.language": "operant.policy",
    "operant.language.model": "operant.policy",
    "operant.language.learn": "operant.algo",
    "operant.language.learn.critiques": "operant.algo.constitutional",
    "operant.language.sample": "operant.rollout",
    "operant.language.sample.sampling": "operant.rollout.sampling",
    "operant.language.episodes": "operant.rollout",
    "operant.language.episodes.task_scorer": "operant.rollout.judged",
    "operant.language.serve": "operant.serve",
    "operant.language.serve.detokenize": "operant.serve.words",
    "operant.language.serve.protocol": "operant.serve.protocol",
    "operant.language.serve.speaker": "operant.cli.speaker",
    "operant.language.reward": "operant.reward",
    "operant.language.task": "operant.task",
    "operant.language.task.pool": "operant.task.pool",
    "operant.language.serve.http": "operant.serve.http",
    "operant.language.serve.client": "operant.serve.client",
    "operant.language.episodes.rollout_files": "operant.training.rollouts",
    "operant.config.registry": "operant.config.resolve",
    "operant.tabular.bandits": "operant.algo.tabular.bandits",
    "operant.mdp.analyse.sampler": "operant.mdp.simulate",
    "operant.mdp.policies": "operant.mdp.policies",
    "operant.control.agent": "operant.policy.agent",
    "operant.control.acting": "operant.policy.acting",
    "operant.language.sample.engine": "operant.rollout.engine",
    "operant.run.checkpoint": "operant.training.checkpoint",
    "operant.run.disk": "operant.training.disk",
    "operant.language.reward.trace": "operant.reward.trace",
    "operant.language.task.score": "operant.task.score",
    "operant.language.learn.reward_scorer": "operant.algo.learnt",
    "operant.language.episodes.episodes": "operant.rollout.episodes",
}
"""New names that the border's tests import, and what they were called."""


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds an old module under its new name; is asked last."""

    def find_spec(self, name, path=None, target=None):
        if name.startswith("operant.") and name not in OLD:
            pytest.skip(f"{name} was not there", allow_module_level=True)
        return importlib.util.spec_from_loader(name, self, is_package=True) if name in OLD else None

    def create_module(self, spec):
        return importlib.import_module(OLD[spec.name])

    def exec_module(self, module):
        pass


sys.meta_path.append(Finder())
