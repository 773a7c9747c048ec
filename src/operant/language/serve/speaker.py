"""From what a person writes after `operant sample`, `chat` or `serve` to a language model that is ready to speak."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operant.config.errors import ConfigError
from operant.config.streams import say

if TYPE_CHECKING:
    from operant.language.model.language_model import LanguageModel
    from operant.language.sample.sampling import Sampling
    from operant.language.text.conversation import Text

SCORERS = ("reward-model", "process-reward")
"""Algorithms whose models judge and do not speak; so does that of the feedback stage of constitutional AI."""


def speaker(args: argparse.Namespace) -> tuple[str, LanguageModel]:
    """The model that a person means, and a short name for it.

    Raises:
        ConfigError: if there is none, it cannot be read, or it does not speak.
    """
    try:
        import torch
        from transformers.utils import logging

        from operant.language.model.language_model import LanguageModel
    except ImportError as error:
        raise ConfigError(f'language models need more packages ({error}): pip install "operant[language]"') from None
    logging.disable_progress_bar()
    if args.threads:
        torch.set_num_threads(args.threads)
    dtype, where = getattr(torch, args.dtype), _device(args.device)
    path = Path(args.model)
    try:
        if (path / "config.json").is_file() and not (path / "run.json").is_file():
            return path.resolve().name, LanguageModel.load(path, dtype=dtype, device=where)
        run = _run(args)
        if run is None:
            return args.model.rsplit("/", 1)[-1], LanguageModel.load(args.model, dtype=dtype, device=where)
        return run.name, _checkpoint(run, args.checkpoint).to(device=where, dtype=dtype)
    except ConfigError as error:
        raise ConfigError(_line(error)) from None
    except Exception as error:  # what reads a model raises what it likes
        raise ConfigError(f"{args.model}: not a readable language model ({_line(error)})") from error


def prompt_of(policy: LanguageModel, text: Text) -> tuple[int, ...]:
    """The tokens to go on from: of a text, or of messages up to where the model speaks.

    Raises:
        ConfigError: if there is no chat template, or nothing to go on from.
    """
    from operant.language.text.rendering import rendering_of

    said = text if isinstance(text, str) else "".join(message["content"] for message in text)
    if any("\ud800" <= c <= "\udfff" for c in said):
        raise ConfigError("the prompt is not UTF-8 text")
    if not isinstance(text, str):
        if getattr(policy.tokenizer, "chat_template", None) is None:
            raise ConfigError(
                "this model has no chat template, so nobody knows how to talk to it: give plain text to "
                "`operant sample`, use the model's tuned relative (often named -Instruct or -it), or set "
                "tokenizer.chat_template and save the tokenizer"
            )
        return tuple(rendering_of(policy.tokenizer).turns(text, prompt=True))
    tokens = tuple(rendering_of(policy.tokenizer).text(text))
    if not tokens:
        raise ConfigError("the prompt is empty: give some text to go on from")
    return tokens


def sampling_of(args: argparse.Namespace, policy: LanguageModel, prompt: int, most: int, *, chat: bool) -> Sampling:
    """How tokens are drawn after a prompt of so many tokens; at most `most` where no flag says how many.

    Where the prompt is a `chat`, the token with which its template ends an answer ends it.

    Raises:
        ConfigError: if the prompt leaves no room.
    """
    from operant.language.model.language_model import ends
    from operant.language.sample.sampling import Sampling

    room = policy.max_positions - prompt
    if room < 1:
        raise ConfigError(f"the prompt has {prompt} tokens, and the model {policy.max_positions} positions: shorten it")
    return Sampling(
        temperature=args.temperature, top_k=args.top_k, top_p=args.top_p, min_p=args.min_p,
        max_tokens=args.max_tokens or min(most, room), stop=ends(policy, chat=chat),
    )  # fmt: skip


def seed_of(args: argparse.Namespace) -> int:
    """The seed that was given, or a new one."""
    return secrets.randbelow(2**31) if args.seed is None else args.seed


def compile_ahead(policy: LanguageModel) -> None:
    """Compile what decodes the model where this machine has not done so yet, and say so: the first token would wait."""
    from operant.data.compiled import on_disk
    from operant.language.cpu.decode_kernels import advance
    from operant.language.sample.engine import Engine, Prompt, Sampling

    engine = Engine(policy, seed=0)
    if engine.compiles and not on_disk(advance):
        say("The decoder is being compiled, once on this machine: half a minute or so.")
        engine.generate([Prompt(id=0, tokens=(0,))], Sampling(max_tokens=1))


def _run(args: argparse.Namespace) -> Path | None:
    """The run folder that is meant; None where the name can only be the hub's."""
    from operant.run.find import find

    path = Path(args.model)
    if path.is_dir() and not (path / "run.json").is_file():
        raise ConfigError(f"{path} is neither a Hugging Face folder (it has no config.json) nor a run (no run.json)")
    try:
        return find(args.model, args.runs)
    except ConfigError as error:
        looks = args.model.count("/") == 1 and not args.model.startswith((".", "/", "~"))
        if looks and not path.parent.is_dir():
            return None
        raise ConfigError(f"{error} A folder of a model, or NAME/MODEL of the hub, will do too.") from None


def _checkpoint(run: Path, name: str) -> LanguageModel:
    from operant.language.model.language_model import LanguageModel
    from operant.run import exported
    from operant.run.checkpoint import load_policy
    from operant.run.find import trained

    algorithm = trained(run).info().get("algorithm")
    if algorithm in SCORERS or (algorithm == "constitutional" and _compares(run)):
        raise ConfigError(f"{run} is a run of {algorithm}: its model scores what others say. Give a model that speaks")
    agent = (exported.load if exported.is_exported(run) else load_policy)(run, name)[0]
    if not isinstance(agent, LanguageModel):
        raise ConfigError(f"{run} is a run of {algorithm}, not of a language model. To watch it: operant play {run}")
    return agent


def _compares(run: Path) -> bool:
    """Whether a run of constitutional AI learnt which of two answers is better."""
    from operant.config.resolve import load
    from operant.language.settings.runs import ConstitutionalRun

    cfg = load(run / "config.toml")
    return isinstance(cfg, ConstitutionalRun) and cfg.algo.stage == "feedback"


def _device(name: str) -> Any:
    import torch

    try:
        where = torch.device(name)
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ConfigError(f"--device is {name!r}, which is not to be had here ({_line(error)})") from None
    return str(where)


def _line(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
