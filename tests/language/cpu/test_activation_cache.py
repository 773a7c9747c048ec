"""Gradients from what the sampler kept, against autograd through the readable forward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from operant.language.cpu import backward as tape_backward
from operant.language.episodes.episodes import Episodes, episodes
from operant.language.model.language_model import LanguageModel
from operant.language.model.shared_prefix import evaluate_groups
from operant.language.sample.engine import Completion, Engine, Prompt, Sampling

pytest.importorskip("transformers")

PROMPTS = ((5,), (5, 9, 3, 2, 8), (7, 7, 1), (4, 6, 2, 9))


def language(family: str) -> LanguageModel:
    from reference.tiny_language import tiny_model

    return LanguageModel(tiny_model(family, vocabulary=100), None)


def sampled(policy: LanguageModel, *, temperature: float = 1.0, after: object = None) -> Episodes:
    """Rows of several lengths, refilled, in the order of the sampler."""
    engine = Engine(policy, seed=3, slots=5)
    engine.record = True
    prompts = [Prompt(id=i, tokens=p) for i, p in enumerate(PROMPTS)]
    stop = tuple(range(10, 22))
    how = Sampling(max_tokens=11, temperature=temperature, stop=stop)
    done = engine.generate(prompts, how, samples=3, after=after)  # pyright: ignore[reportArgumentType]
    return episodes(done, [0.0] * len(done))


def scores(policy: LanguageModel, made: Episodes, temperature: float = 1.0) -> Tensor:
    traj = made.traj
    assert isinstance(traj.obs, Tensor)
    return evaluate_groups(policy, traj.obs, traj.acted, made.prompt, traj.group, temperature=temperature)


def gradients(logp: Tensor, policy: LanguageModel) -> dict[str, Tensor]:
    weight = torch.linspace(-1.0, 1.0, logp.numel()).view_as(logp)
    names, parameters = zip(*((n, p) for n, p in policy.named_parameters() if p.requires_grad), strict=True)
    return dict(zip(names, torch.autograd.grad((weight * logp).sum(), parameters), strict=True))


def both(policy: LanguageModel, made: Episodes, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """From the tape, and without it."""
    traj = made.traj
    assert policy.tape is not None
    assert isinstance(traj.obs, Tensor)
    assert policy.tape.find(traj.obs, traj.acted, temperature) is not None
    ours, tape, policy.tape = scores(policy, made, temperature), policy.tape, None
    plain = scores(policy, made, temperature)
    policy.tape = tape
    return ours, plain


@pytest.mark.spread(1)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma"])
def test_values_and_gradients_are_those_of_autograd(family: str, temperature: float) -> None:
    policy = language(family)
    made = sampled(policy, temperature=temperature)
    ours, plain = both(policy, made, temperature)
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5)
    wanted = gradients(plain, policy)
    for name, found in gradients(ours, policy).items():
        torch.testing.assert_close(found, wanted[name], atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_chunks_of_groups_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = language("llama")
    made = sampled(policy)
    whole = gradients(scores(policy, made), policy)
    monkeypatch.setattr(tape_backward, "CHUNK", 1)
    monkeypatch.setattr(tape_backward, "SCORES", 700)
    for name, found in gradients(scores(policy, made), policy).items():
        torch.testing.assert_close(found, whole[name], atol=1e-5, rtol=1e-4)


def test_shares_of_threads_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = language("llama")
    made = sampled(policy)
    monkeypatch.setattr(tape_backward, "CHUNK", 1)
    alone = gradients(scores(policy, made), policy)
    before = torch.get_num_threads()
    for threads in (2, 3, 9):  # 4 groups
        torch.set_num_threads(threads)
        try:
            once, again = (gradients(scores(policy, made), policy) for _ in range(2))
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        for name, found in once.items():
            assert torch.equal(found, again[name])
            torch.testing.assert_close(found, alone[name], atol=2e-6, rtol=1e-5)


def test_some_of_the_rows_and_forced_tokens() -> None:
    policy = language("llama")

    def after(c: Completion) -> list[int] | None:
        return [30, 31] if sum(c.acted) == len(c.acted) else None

    made = sampled(policy, after=after)
    traj, rows = made.traj, torch.tensor([10, 2, 3])
    assert isinstance(traj.obs, Tensor)
    assert bool((~traj.acted[:, :-1] & traj.acted[:, 1:]).sum() > len(traj.acted))  # some rows go on after a tool
    part = (traj.obs[rows], traj.acted[rows], made.prompt[rows], traj.group[rows])
    ours, tape, policy.tape = evaluate_groups(policy, *part), policy.tape, None
    assert tape is not None
    assert tape.find(traj.obs[rows], traj.acted[rows], 1.0) is not None
    wanted = gradients(evaluate_groups(policy, *part), policy)
    for name, found in gradients(ours, policy).items():
        torch.testing.assert_close(found, wanted[name], atol=2e-5, rtol=1e-4)


def test_frozen_weights_get_no_gradient() -> None:
    policy = language("llama")
    for p in policy.decoder.layers[0].parameters():
        p.requires_grad_(False)
    ours, plain = both(policy, sampled(policy))
    wanted = gradients(plain, policy)
    for name, found in gradients(ours, policy).items():
        torch.testing.assert_close(found, wanted[name], atol=2e-5, rtol=1e-4)


def test_it_serves_nothing_but_what_it_holds() -> None:
    policy = language("llama")
    made = sampled(policy)
    tape, obs, acted = policy.tape, made.traj.obs, made.traj.acted
    assert tape is not None
    assert isinstance(obs, Tensor)
    assert tape.find(obs, acted, 0.5) is None
    other = obs.clone()
    other[0, 1] = 99 - other[0, 1]
    assert tape.find(other, acted, 1.0) is None
    assert tape.find(obs, acted, 1.0) is not None
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3, fused=True)
    scores(policy, made).sum().backward()
    optimizer.step()
    assert tape.find(obs, acted, 1.0) is None


def test_a_tape_that_lies_is_told_and_left() -> None:
    policy = language("llama")
    made = sampled(policy)
    policy.base.model.layers[0].mlp.down_proj.weight.data.view(-1)[1:9] += (
        3.0  # unseen: few numbers, behind torch's back
    )
    with pytest.warns(UserWarning, match="differ by"):
        found = scores(policy, made)
    policy.tape = None
    torch.testing.assert_close(found, scores(policy, made))


def test_the_row_that_is_compared_is_named_and_the_others_are_as_they_were_sampled() -> None:
    policy = language("llama")
    made = sampled(policy)
    assert policy.tape is not None
    policy.base.model.layers[0].mlp.down_proj.weight.data.view(-1)[1:9] += 1e-3  # unseen, and within the tolerance
    off = (scores(policy, made).detach() - made.traj.logp).abs()
    chosen = policy.tape.checked
    assert chosen is not None
    assert float(off[chosen].max()) > 1e-6
    off[chosen] = 0.0
    assert float(off.max()) == 0.0
    with torch.no_grad():
        scores(policy, made)
    assert policy.tape.checked is None


@pytest.mark.parametrize("family", ["qwen3", "gpt2"])
def test_other_layouts_have_none(family: str) -> None:
    policy = language(family)
    made = sampled(policy)
    assert policy.tape is None
    assert bool(scores(policy, made).isfinite().all())


def test_recording_changes_no_draw() -> None:
    policy = language("llama")
    prompts = [Prompt(id=i, tokens=p) for i, p in enumerate(PROMPTS)]
    plain = Engine(policy, seed=3, slots=5).generate(prompts, Sampling(max_tokens=11), samples=3)
    engine = Engine(policy, seed=3, slots=5)
    engine.record = True
    assert engine.generate(prompts, Sampling(max_tokens=11), samples=3) == plain


def test_threads_get_about_as_many_tokens() -> None:
    """Eight chunks, of which the first half is shorter than the second by a token, are halved all the same."""

    class Sized:
        def __init__(self, tokens: int) -> None:
            self.index = torch.zeros(tokens)

    shares = tape_backward._shares([Sized(n) for n in (480, 470, 475, 478, 490, 481, 472, 480)], 2)
    sums = [sum(len(c.index) for c in share) for share in shares]
    assert sum(sums) == 3826
    assert max(sums) - min(sums) < 20
    assert [len(s) for s in tape_backward._shares([Sized(5), Sized(3)], 4)] == [1, 1]
