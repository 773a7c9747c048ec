"""A causal language model as a policy over tokens."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from operant.config.errors import ConfigError
from operant.language.cpu.activation_cache import Tape
from operant.language.model import decoder_layouts as slim
from operant.language.model import lora as adapters
from operant.language.model.hf_forward import Whole
from operant.language.model.lora import LoraSpec
from operant.language.model.model_files import read_model
from operant.language.model.seeing import Pictures, Seeing, Sighted, tower
from operant.language.text.rendering import rendering_of
from operant.math.logprob import categorical_entropy, categorical_logp
from operant.run.disk import share

CHUNK = 2**26
"""Logits held at once in scoring; more are computed chunk by chunk, and again in the backward pass."""
ALIGNED = 64
"""Bytes: where torch begins its own arrays."""


class LanguageModel(nn.Module):
    """π(token | tokens before it), from a Hugging Face model and its tokenizer.

    A row of tokens is its own observation: `tokens[:, t]` precedes `tokens[:, t + 1]`, which is the action at t.
    Rows are padded on the right. Positions count from the start of each sequence, whatever stands beside it.

    Dropout of the model stays off, in training too: what is scored is what was sampled, and it would draw from a global
    generator. (That of adapters is on in `train()`.)

    Args:
        model: a causal language model of transformers, or one adapted by peft; its parameters are the policy's.
        tokenizer: its tokenizer.

    Attributes:
        whole: the forward of transformers where the slim one does not cover the model, else None. A warning says so.
        vocab, width, max_positions: V, D, and the longest row.
        tape: what the sampler kept of its last call, if it was asked to.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.adapted = hasattr(model, "disable_adapter")
        base = model.get_base_model() if self.adapted else model
        self.tape: Tape | None = None
        found = self._obstacle = slim.obstacle(slim.words(base))
        self._decoder: slim.Decoder | None = None
        sight: Pictures | None = getattr(tokenizer, "pictures", None)
        self.sees = sight is not None  # a row of it may hold pictures
        if found is None:
            self._decoder = slim.reader(base) if sight is None else Sighted(base, sight)
        self.whole = None if found is None else Whole(base) if sight is None else Seeing(base, sight)
        if found is not None:
            warnings.warn(
                f"{found}: this model goes through transformers, several times slower. Prompts are computed again for "
                "each sample, rows that end leave their place empty, packed rows are unpacked.",
                stacklevel=2,
            )
        shape = self._decoder or self.whole
        assert shape is not None
        self.vocab, self.width, self.max_positions = shape.vocab, shape.width, shape.max_positions
        self.train(self.training)

    @property
    def decoder(self) -> slim.Decoder:
        """The slim reader of the layout.

        Raises:
            ConfigError: if the model goes through transformers.
        """
        if self._decoder is None:
            raise ConfigError(f"{self._obstacle}: there is no slim forward of this model")
        return self._decoder

    @property
    def base(self) -> Any:
        """The model of transformers, its adapters in place."""
        return self.model.get_base_model() if self.adapted else self.model

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.model.parameters()).device

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        lora: LoraSpec | None = None,
        adapter: Path | None = None,
    ) -> Self:
        """Read a model folder (safetensors) or a name on the hub.

        Args:
            folder: what `save` wrote, or a name.
            dtype, device: of the parameters.
            lora: add fresh adapters, which alone are trained.
            adapter: a folder that `save_adapter` wrote, whose adapters are put on the model and alone are trained.

        Raises:
            ConfigError: if there is no readable causal language model, its files, its sizes and its tokenizer are not
                of one model (`operant.language.model.model_files`), or both `lora` and `adapter` are given.
        """
        if lora is not None and adapter is not None:
            raise ConfigError("both fresh adapters (lora) and a folder of adapters were given: leave one out")
        model, tokenizer = read_model(folder, dtype)
        if lora is not None:
            model = adapters.adapt(model, lora)
        if adapter is not None:
            model = adapters.read(model, adapter)
        return cls(aligned(model.to(device)), tokenizer)

    def save(self, folder: Path) -> None:
        """Write the folder that `load`, and transformers, read; adapters are merged into it."""
        if self.adapted:
            adapters.write_merged(self.model, folder)
        else:
            self.model.save_pretrained(folder, safe_serialization=True)
        self.tokenizer.save_pretrained(folder)
        if self.sees:
            self.tokenizer.pictures.save(folder)
        share(*folder.glob("*.safetensors"))

    def save_adapter(self, folder: Path) -> None:
        """Write the adapters alone, for `load(base, adapter=folder)` and for peft.

        Raises:
            ConfigError: if there are none.
        """
        if not self.adapted:
            raise ConfigError("this model has no adapters; load it with lora=LoraSpec(…), or write it with save")
        self.model.save_pretrained(str(folder), safe_serialization=True)
        share(*folder.glob("*.safetensors"))

    def recompute(self) -> None:
        """From now on keep of each layer its input alone for the backward pass, and compute it again there.

        A third more arithmetic, for a fraction of the memory: of a layer of Qwen2.5-0.5B about 2 kB a token in
        bfloat16, not 60.

        Raises:
            ConfigError: if the model goes through transformers.
        """
        self.decoder.recompute = True

    def freeze_tower(self) -> None:
        """From now on leave the part that reads pixels as it is.

        Raises:
            ConfigError: if the model does not see.
        """
        if not self.sees:
            raise ConfigError("model.tower = frozen is of models that see, and this one does not: leave it out")
        for _, p in tower(self.base):
            p.requires_grad_(False)

    def without_gradients(self) -> AbstractContextManager[None]:
        """Within it nothing is kept for a backward pass."""
        # modules of transformers may keep what they compute, which must not be an inference tensor
        return torch.inference_mode() if self.whole is None and not self.sees else torch.no_grad()

    @contextlib.contextmanager
    def reference(self) -> Generator[None]:
        """Within it the model is the one before its adapters: π_ref without a second copy.

        Raises:
            ConfigError: if it has no adapters.
        """
        if not self.adapted:
            raise ConfigError("this model has no adapters to leave out; load the reference model beside it")
        with adapters.disabled(self.model):
            yield

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode: the dropout of adapters, and nothing else of the model, follows it."""
        super().train(mode)
        self.model.eval()
        for name, module in self.model.named_modules():
            if "lora_dropout" in name:
                module.train(mode)
        return self

    def hidden(self, tokens: Tensor, position: Tensor | None = None, segment: Tensor | None = None) -> Tensor:
        """Hidden states [N, L, D] of tokens [N, L], `position` [N, L] of each in its sequence (0, 1, … if None), and
        `segment` [N, L] as in `operant.language.model.decoder_layouts.hidden`."""
        if position is None:
            position = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
        if self.whole is not None:
            return self.whole.hidden(tokens, position, segment)
        return slim.hidden(self.decoder, tokens, position, segment)

    def evaluate(
        self,
        tokens: Tensor,
        acted: Tensor,
        *,
        position: Tensor | None = None,
        segment: Tensor | None = None,
        temperature: float = 1.0,
    ) -> tuple[Tensor, Tensor]:
        """log π(tokens[:, t+1] | tokens[:, ≤ t]) and the entropy there, where `acted`; 0 elsewhere.

        Args:
            tokens: [N, T+1].
            acted: [N, T] bool. The head is computed at these steps only.
            position, segment: [N, T+1] or None.
            temperature: divides the logits, as it did in sampling.

        Returns:
            [N, T] each, float32.
        """
        if self.whole is None:
            states, head = self.hidden(tokens, position, segment), self.decoder.head
        else:
            if position is None:
                position = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
            states, head = self.whole.logits(tokens, position, segment), nn.Identity()

        def score(states: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
            logits = head(states).float() / temperature
            return categorical_logp(logits, action), categorical_entropy(logits)

        states = states[:, :-1][acted]  # [M, D], or [M, V]
        action = tokens[:, 1:][acted]  # [M]
        logp, entropy = by_chunks(score, states, action, self.vocab)
        blank = torch.zeros(acted.shape, dtype=logp.dtype, device=logp.device)
        return blank.masked_scatter(acted, logp), blank.masked_scatter(acted, entropy)


class Scalar(nn.Module):
    """One number per position from a language model's hidden states: a critic [N, L], or a reward at the last token.

    Args:
        backbone: the language model whose hidden states are read; trained with the head unless frozen by the caller.
            The head is float32 whatever it is, and begins on its device.
    """

    def __init__(self, backbone: LanguageModel) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.width, 1, bias=False, device=backbone.device)
        nn.init.zeros_(self.head.weight)

    def forward(self, tokens: Tensor, position: Tensor | None = None, segment: Tensor | None = None) -> Tensor:
        """[N, L], float32, from tokens [N, L]; `position` and `segment` as in `LanguageModel.hidden`."""
        return self.head(self.backbone.hidden(tokens, position, segment).float()).squeeze(-1)


def by_chunks(
    score: Callable[[Tensor, Tensor], tuple[Tensor, ...]], states: Tensor, action: Tensor, vocab: int
) -> list[Tensor]:
    """`score` of states [M, D] and actions [M], so many at a time that no more than `CHUNK` logits are held.

    Where that takes several chunks, the backward pass computes each again.

    Args:
        score: gives numbers of each state and action, [M] each, from `vocab` logits of each state.
        states, action: what it is given.
        vocab: V.
    """
    size = max(1, CHUNK // vocab)
    if len(states) <= size:
        return list(score(states, action))
    parts: list[tuple[Tensor, ...]] = [
        checkpoint(score, h, a, use_reentrant=False)  # pyright: ignore[reportAssignmentType]
        for h, a in zip(states.split(size), action.split(size), strict=True)
    ]
    return [torch.cat(x) for x in zip(*parts, strict=True)]


def ends(policy: LanguageModel, *, chat: bool = False) -> tuple[int, ...]:
    """The tokens that end what a model says: the tokenizer's, and those its generation settings name.

    Args:
        policy: the model.
        chat: whether it answers messages; then also the token with which its chat template ends an answer.
    """
    named = getattr(getattr(policy.base, "generation_config", None), "eos_token_id", None)
    found: set[Any] = {policy.tokenizer.eos_token_id, *(named if isinstance(named, list) else [named])} - {None}
    if chat:
        found |= rendering_of(policy.tokenizer).ends
    return tuple(sorted(int(token) for token in found))


def aligned(model: Any) -> Any:
    """The model with all parameters where torch puts its own: what is read from a file lies anywhere.

    Some products differ in their last bits with the place of what they multiply, and a resumed run would with them.
    """
    for x in (*model.parameters(), *model.buffers()):
        if x.data_ptr() % ALIGNED:
            x.data = x.data.clone()
    return model
