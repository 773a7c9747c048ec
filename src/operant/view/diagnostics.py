"""What the numbers of a run mean, where they should lie, and what to do when they do not."""

from __future__ import annotations

from typing import NamedTuple


class Diagnostic(NamedTuple):
    """A metric and its healthy range; a bound of None is open, and two of them mean that no range fits every task."""

    metric: str
    title: str
    low: float | None
    high: float | None
    meaning: str
    advice: str


def unlisted(metric: str) -> Diagnostic:
    """The row of a metric that has none in the table and is shown because it went wrong."""
    return Diagnostic(metric, metric, None, None, "Shown because some of its values are not finite.", "")


DIAGNOSTICS = (
    Diagnostic(
        "policy/kl",
        "Policy change, KL",
        0.0,
        0.02,
        "How far one update moved the policy, as a mean KL divergence (the k3 estimate).",
        "Above the range the steps are too bold: lower algo.lr or algo.epochs, or set algo.target_kl.",
    ),
    Diagnostic(
        "policy/clip_fraction",
        "Clipped share",
        0.02,
        0.3,
        "The share of decisions whose probability ratio met the clip.",
        "Below, the updates are timid: raise algo.lr or algo.epochs. Above, most of the data is ignored: lower them.",
    ),
    Diagnostic(
        "policy/entropy",
        "Entropy",
        None,
        None,
        "How much the policy still leaves to chance; a slow fall is the sign of learning.",
        "If it collapses while returns are poor, raise algo.entropy_coef; if it never falls, raise algo.lr.",
    ),
    Diagnostic(
        "value/explained_variance",
        "Explained variance",
        0.5,
        1.0,
        "The share of the variance of the returns that the critic foresees; 0 is no better than a constant.",
        "Below for long, the critic lags: raise algo.epochs, or set policy.normalize_reward. "
        "Where nearly all returns are equal, as at a ceiling, it says nothing (0/0 is NaN).",
    ),
    Diagnostic(
        "completion/truncated",
        "Completions cut at the limit",
        0.0,
        0.1,
        "The share of completions that did not end by themselves.",
        "Above, the answers do not fit, or the stop token is wrong: raise sampling.max_tokens.",
    ),
    Diagnostic(
        "completion/length",
        "Completion length",
        None,
        None,
        "Tokens of a completion, on average.",
        "If it grows without the reward, the reward pays for length; if it falls to nothing, it punishes it.",
    ),
    Diagnostic(
        "group/equal",
        "Groups without contrast",
        0.0,
        0.8,
        "The share of prompts whose completions all earned the same, from which nothing is learnt.",
        "Near 1 at a low reward the prompts are too hard, at a high one too easy: choose others, raise algo.samples, "
        "or set algo.resample.",
    ),
    Diagnostic(
        "sampler/mismatch",
        "Sampler against trainer",
        0.0,
        0.01,
        "Mean |log π of the sampler − log π of the trainer|, before the first step on a batch.",
        "Above, tokens are not scored as they were drawn; algo.mismatch_alarm says when a step warns.",
    ),
    Diagnostic(
        "policy/kl_reference",
        "Distance from the reference",
        None,
        None,
        "log π − log π_ref of the samples, in nats per completion.",
        "If it runs away while held-out accuracy falls, the reward is being exploited: raise algo.beta.",
    ),
    Diagnostic(
        "loss/nll",
        "Loss, nats per token",
        None,
        None,
        "Minus the mean log-likelihood of the tokens that are learnt.",
        "If it does not fall, raise algo.lr; if it jumps, lower it.",
    ),
    Diagnostic(
        "grad/norm",
        "Gradient norm",
        None,
        None,
        "The global norm of the gradient before it is clipped at algo.max_grad_norm.",
        "A few peaks are clipped and harmless; if it climbs without end, lower algo.lr or set policy.normalize_reward.",
    ),
    Diagnostic(
        "loss/value",
        "Value loss",
        None,
        None,
        "The critic's squared error; its scale is that of the returns, so it may rise while they rise.",
        "If it grows when returns do not, lower algo.lr or set policy.normalize_reward.",
    ),
    Diagnostic(
        "policy/std",
        "Action deviation",
        0.05,
        1.5,
        "The mean standard deviation of continuous actions, in units of the policy's output.",
        "Below, the policy has stopped exploring: raise algo.entropy_coef. Above, noise drives it: lower that.",
    ),
    Diagnostic(
        "schedule/lr",
        "Learning rate",
        None,
        None,
        "The optimiser's step size as it was used.",
        "It follows algo.lr and algo.lr_schedule; nothing else moves it.",
    ),
    Diagnostic(
        "value/change",
        "Change of the values",
        None,
        None,
        "The most that any action value moved in the steps of a row.",
        "It falls towards 0 as the values settle; with a constant step size and noise it does not: lower "
        "algo.step_size, or set algo.step_size_schedule.",
    ),
    Diagnostic(
        "policy/changed",
        "Greedy actions changed",
        None,
        None,
        "The share of states whose greedy action is another than a row before.",
        "If it stays high, values are still wrong or nearly tied: train on, or lower algo.step_size.",
    ),
    Diagnostic(
        "value/coverage",
        "Pairs tried",
        None,
        None,
        "The share of pairs of state and action that were learned from at least once; some may be out of reach.",
        "If it stalls while returns are poor, raise algo.epsilon or algo.initial.",
    ),
    Diagnostic(
        "policy/epsilon",
        "Exploration",
        None,
        None,
        "ε, the share of actions that are drawn at random.",
        "It follows algo.epsilon and its schedule; nothing else moves it.",
    ),
    Diagnostic(
        "speed/steps_per_second",
        "Speed, steps per second",
        None,
        None,
        "Environment steps per second of the iteration, collecting and learning together.",
        "A fall in mid-run means that the machine is shared or the episodes have become dearer to simulate.",
    ),
)

_ADVICE = {
    "policy/kl": "Above the range the steps are too bold: lower algo.lr or algo.epochs.",
    "policy/entropy": "If it collapses while accuracy is poor, raise sampling.temperature or algo.beta; if it never "
    "falls, raise algo.lr.",
    "grad/norm": "A few peaks are clipped and harmless; if it climbs without end, lower algo.lr.",
    "loss/value": "If it grows when rewards do not, lower algo.lr or set algo.scale_reward.",
}


def of_tokens(row: Diagnostic, *, once: bool) -> Diagnostic:
    """The row as it reads for a policy over tokens, whose settings have other names.

    Args:
        row: of the table.
        once: whether every batch made one step, so that the ratio is 1 and nothing can be clipped.
    """
    if once and row.metric == "policy/clip_fraction":
        return row._replace(low=0.0, advice="Here each batch makes one step: the ratio is 1, and nothing is clipped.")
    return row._replace(advice=_ADVICE.get(row.metric, row.advice))
