"""The builder of PPO on a learnt reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from operant.data.streams import Streams
from operant.language.episodes.episodes import Score
from operant.language.episodes.evaluate import Measure
from operant.language.learn.builders import Say, adam, begun, imitated, reference_of, rollouts_of, told
from operant.language.learn.judges import read_reward
from operant.language.learn.kl_controller import Penalty
from operant.language.learn.reward_scorer import Learnt, critic_from
from operant.language.learn.rlhf import rlhf
from operant.language.model.train_state import Language
from operant.language.sample.sampling import Completion
from operant.language.settings.runs import RLHFRun
from operant.language.text.conversation import Encoder
from operant.language.text.epochs import Shuffled
from operant.run.job import Job, Position


def build_rlhf(cfg: RLHFRun, env: object, say: Say = lambda line: None) -> Job:
    """Everything that PPO on a learnt reward needs; without a reward model the task's own rewards are the reward."""
    task, policy = begun(cfg, say)
    settings = cfg.algo
    collect, judge = rollouts_of(cfg, task, policy, samples=settings.samples)
    critic = critic_from(policy)
    if cfg.reward.path:
        model = read_reward(cfg.reward.path, str(policy.device))
        learnt = Learnt(model, offset=cfg.reward.offset)
        critic = critic_from(model)
        own = collect.score

        def score(completions: Sequence[Completion]) -> Sequence[Score]:
            own(completions)  # beside it, for the record
            return learnt(completions)

        collect.score = score
    critic.requires_grad_(True)
    reference = reference_of(cfg, task, policy, settings.beta, say)
    texts = None
    if settings.ptx_coef > 0.0:
        encoder = Encoder(tokenizer=policy.tokenizer, length=policy.max_positions)
        texts = Shuffled(imitated(task, encoder), Streams(cfg.seed))
    optimizer = adam([policy, critic], settings.lr, settings.weight_decay)
    order = Streams(cfg.seed).numpy("minibatch")
    penalty = Penalty(settings.beta, settings.beta_schedule, settings.kl_target, settings.kl_horizon)
    measure = Measure(cfg, policy, task, collect.sampling)

    def counters() -> dict[str, Any]:
        return {"drawn": collect.prompts.drawn, "beta": penalty.value, "texts": 0 if texts is None else texts.steps}

    def restore(found: Mapping[str, Any]) -> None:
        collect.prompts.drawn, penalty.value = int(found["drawn"]), float(found["beta"])
        if texts is not None:
            texts.steps = int(found["texts"])

    def begin(at: Position) -> None:
        Streams(cfg.seed, at.seam).rekey(order, "minibatch")
        collect.steps, collect.episodes = at.step, at.episodes

    loop = rlhf(
        settings, collect, policy, critic, optimizer, order,
        total_steps=cfg.total_steps, reference=reference, penalty=penalty, texts=texts,
    )  # fmt: skip
    return Job(
        algorithm=told(loop, collect, judge),
        learned=Language(policy, optimizer, counters=counters, restore=restore, modules={"critic": critic}),
        counter=collect,
        begin=begin,
        evaluate=measure,
        keep_evaluation=measure.keep,
        measure_first=cfg.eval.before,
        total_steps=cfg.total_steps,
        eval=cfg.eval,
        save=cfg.save,
    )
