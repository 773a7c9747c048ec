"""Models that see: an image-text-to-text model of transformers, and its processor, as a policy over tokens.

A row of tokens refers to its pictures (`operant.language.text.pictures`). Here a reference becomes the model's own
placeholder, and the pixels behind all references of a batch, in their order, what its processor makes of them. What a
family does with them (tiles, grids, three-dimensional positions) is its own affair, so that any of the hub's is served.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from operant.config.bounded import load_json
from operant.config.errors import ConfigError
from operant.language.model.decoder_layouts import Rotary, words
from operant.language.model.hf_forward import Whole
from operant.language.text import pictures as store

KEPT = 2**28
"""Bytes of processed pictures that are kept."""
FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json", "chat_template.jinja")
TOWERS = ("visual", "vision_tower", "vision_model", "vision_encoder")
"""What families call the part that reads pixels."""


class Pictures:
    """What a processor makes of pictures; it stands on its tokenizer as `pictures` (`rendering.Sight`).

    Args:
        processor: of transformers, of texts and pictures.
        folder: where its files are; they are copied by `save`.

    Attributes:
        marker, token: the placeholder that a chat template writes for a picture, and its number.
        blank: what a model reads where it wrote that itself.
    """

    def __init__(self, processor: Any, folder: Path | None = None) -> None:
        self.processor = processor
        self.marker = str(processor.image_token)
        self.token = int(processor.tokenizer.convert_tokens_to_ids(self.marker))
        spare = processor.tokenizer.pad_token_id
        self.blank = int(processor.tokenizer.eos_token_id if spare is None else spare)
        self._files = {n: (folder / n).read_bytes() for n in FILES if folder and (folder / n).is_file()}
        self._made = store.Kept(KEPT, _bytes)
        self._places: dict[int, int] = {}

    def tokens(self, name: str) -> list[int]:
        """A picture's tokens: its reference at each place that it takes, and what the model has around them."""
        written: list[int] = self.made(name)["input_ids"][0].tolist()
        token = store.reference(name)
        self._places[token] = written.count(self.token)
        return [token if t == self.token else t for t in written]

    def places(self, token: int) -> int:
        """How many places a reference takes for one picture."""
        if token not in self._places:
            self.tokens(store.name_of(token))
        return self._places[token]

    def made(self, name: str) -> dict[str, Tensor]:
        """What the processor makes of a picture, its tokens under `input_ids`.

        Raises:
            ConfigError: if it cannot be read, or the processor refuses it.
        """
        if name not in self._made:
            from PIL import Image

            image = Image.fromarray(store.read(name))
            try:
                made = self.processor(
                    text=[self.marker], images=[[image]], return_tensors="pt", add_special_tokens=False
                )
            except Exception as error:  # a processor raises what it likes
                raise ConfigError(f"{name:.80}: the model's processor refuses this picture: {error}") from error
            self._made.keep(name, {k: v for k, v in made.items() if isinstance(v, Tensor)})
        self._made.move_to_end(name)
        return self._made[name]

    def listed(self, tokens: Tensor) -> list[int]:
        """The pictures that tokens [N, L] refer to, one reference for each time that one stands there.

        Raises:
            ConfigError: if a row holds a part of a picture.
        """
        seen: list[int] = tokens[tokens >= store.FIRST].tolist()
        found, at = list[int](), 0
        while at < len(seen):
            count = self.places(seen[at])
            if seen[at : at + count] != [seen[at]] * count:
                raise ConfigError(f"a row holds a part of the picture {store.name_of(seen[at]):.80}: give all of it")
            found.append(seen[at])
            at += count
        return found

    def inputs(self, references: Sequence[int]) -> dict[str, Tensor]:
        """What a model is given of pictures, one behind the other."""
        made = [self.made(store.name_of(r)) for r in references]
        keys = [k for k, v in made[0].items() if k != "attention_mask" and v.shape != made[0]["input_ids"].shape]
        return {k: _joined([m[k] for m in made]) for k in keys}

    def save(self, folder: Path) -> None:
        """Write the processor's files."""
        if self._files:
            for name, content in self._files.items():
                (folder / name).write_bytes(content)
        else:
            self.processor.save_pretrained(folder)


class Seeing(Whole):
    """The forward of an image-text-to-text model of transformers on rows that refer to pictures.

    Args:
        model: of transformers.
        pictures: its processor.
    """

    def __init__(self, model: Any, pictures: Pictures) -> None:
        super().__init__(model)
        self.pictures = pictures
        self.named = inspect.signature(model.forward).parameters
        self.rope: Any = getattr(model.base_model, "get_rope_index", None)

    def hidden(self, tokens: Tensor, position: Tensor, segment: Tensor | None = None) -> Tensor:
        """The last hidden states [N, L, D]."""

        def forward(tokens: Tensor, position: Tensor) -> Tensor:
            return self.model.base_model(**self._given(tokens, position)).last_hidden_state

        return self._rows(forward, tokens, position, segment)

    def step(self, tokens: Tensor, position: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """As that of `Whole`; the cache has beside it how far positions are from columns."""
        memory, shift = (None, None) if cache is None else cache
        if shift is not None:
            position = position + shift
        given: dict[str, Any] = self._given(tokens, position) | {"use_cache": True}
        places = given.get("position_ids")
        if memory is None and places is not None and places.ndim == 3:
            shift = places[:, :, -1].amax(0)[:, None] + 1 - tokens.shape[1]
        elif memory is not None:
            given["past_key_values"] = memory
        done = self.model(**given)
        return done.logits, (done.past_key_values, shift)

    def _given(self, tokens: Tensor, position: Tensor) -> dict[str, Any]:
        seen = tokens >= store.FIRST
        # a placeholder that the model wrote itself is no picture; transformers would look for one behind it
        tokens = torch.where(tokens == self.pictures.token, self.pictures.blank, tokens)
        if not bool(seen.any()):
            return super()._given(tokens, position)
        ids, types = torch.where(seen, self.pictures.token, tokens), seen.int()
        there = {k: _there(self.model, v) for k, v in self.pictures.inputs(self.pictures.listed(tokens)).items()}
        given: dict[str, Any] = {"input_ids": ids, "use_cache": False, **there}
        given |= {name: types for name in ("mm_token_type_ids", "token_type_ids") if name in self.named}
        if self.rope is not None:
            told = {k: v for k, v in there.items() if k.endswith("grid_thw")} | {"mm_token_type_ids": types}
            wanted = inspect.signature(self.rope).parameters
            found, _ = self.rope(input_ids=ids, **{k: v for k, v in told.items() if k in wanted})
            given["position_ids"] = found
        elif self.positioned:
            given["position_ids"] = position
        return given


class Sighted(Rotary):
    """The slim forward of a model that sees: its decoder reads, where a picture stands, what tower and projector say.

    These are transformers', and read each picture of a call once, however many rows refer to it.

    Args:
        model: of transformers, of a family in `decoder_layouts.SEEING`.
        pictures: its processor.
    """

    def __init__(self, model: Any, pictures: Pictures) -> None:
        super().__init__(words(model))
        self.eyes, self.pictures = model.get_image_features, pictures
        self.there = partial(_there, model)

    def embed(self, tokens: Tensor, position: Tensor) -> tuple[Tensor, Any]:
        seen = tokens >= store.FIRST
        if not bool(seen.any()):
            return super().embed(tokens, position)
        x, at = super().embed(tokens.masked_fill(seen, 0), position)
        listed = self.pictures.listed(tokens)
        features, first = self.features(listed)
        return x.index_put((seen,), features[self.rows(listed, first)]), at

    def features(self, listed: Sequence[int]) -> tuple[Tensor, dict[int, int]]:
        """[P, D] of the pictures that are listed, each once, and the row at which each begins."""
        first, count = dict[int, int](), 0
        for reference in listed:
            if reference not in first:
                first[reference] = count
                count += self.pictures.places(reference)
        given = {k: self.there(v) for k, v in self.pictures.inputs([*first]).items()}
        return torch.cat([*self.eyes(**given).pooler_output]), first

    def rows(self, listed: Sequence[int], first: Mapping[int, int]) -> list[int]:
        """Those of all features that pictures have, one behind the other."""
        return [row for r in listed for row in range(first[r], first[r] + self.pictures.places(r))]


def _there(model: Any, x: Tensor) -> Tensor:
    """On a model's device, numbers in its type."""
    return x.to(model.device, model.dtype if x.is_floating_point() else None)


def tower(model: Any) -> list[tuple[str, Any]]:
    """The parameters of a model that read pictures: those of its tower; of all but the language model where none is
    named as towers are."""
    named = [(n, p) for n, p in model.named_parameters() if any(part in TOWERS for part in n.split("."))]
    if named:
        return named
    parts = (model.get_decoder(), model.get_output_embeddings())
    own = {id(p) for part in parts for p in part.parameters()}
    return [(n, p) for n, p in model.named_parameters() if id(p) not in own]


def sees(config: Any) -> bool:
    """Whether a configuration is of an image-text-to-text model."""
    from transformers import AutoModelForImageTextToText

    kinds: Any = AutoModelForImageTextToText
    return getattr(config, "vision_config", None) is not None and type(config) in kinds._model_mapping


def read_processor(folder: Path | str, tokenizer: Any, config: Any) -> Pictures:
    """The processor in a folder, or of a name on the hub; put on the tokenizer as `pictures`.

    Where it cannot be made because a part for films is not there, it is made without that part.

    Raises:
        ConfigError: if it cannot be read.
    """
    from transformers import AutoProcessor

    path = Path(folder)
    try:
        try:
            processor: Any = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
        except (AttributeError, ImportError, TypeError):
            processor = _without_films(folder, tokenizer, config)
        processor.tokenizer = tokenizer
        if tokenizer.chat_template is None:
            tokenizer.chat_template = getattr(processor, "chat_template", None)
        pictures = Pictures(processor, path if path.is_dir() else None)
    except Exception as error:  # what reads a processor raises what it likes
        raise ConfigError(f"{folder}: no processor of pictures that can be read ({error})") from error
    tokenizer.pictures = pictures
    return pictures


def _without_films(folder: Path | str, tokenizer: Any, config: Any) -> Any:
    """A processor of texts and pictures alone: that of films needs torchvision."""
    import transformers
    from transformers import AutoImageProcessor
    from transformers.models.auto import processing_auto

    file = Path(folder) / "processor_config.json"
    told: Mapping[str, Any] = load_json(file) if file.is_file() else {}
    known: Mapping[str, Any] = vars(processing_auto)["PROCESSOR_MAPPING_NAMES"]
    kind: Any = getattr(transformers, str(told.get("processor_class") or known[config.model_type]))
    return unchecked(kind)(
        image_processor=AutoImageProcessor.from_pretrained(folder, trust_remote_code=False),
        tokenizer=tokenizer,
        video_processor=None,
        **{k: v for k, v in told.items() if k in inspect.signature(kind.__init__).parameters and k not in _PARTS},
    )


_PARTS = ("image_processor", "tokenizer", "video_processor")


def unchecked(kind: Any) -> Any:
    """A class of processors whose parts may be missing."""

    def check_argument_for_proper_class(self: Any, name: str, argument: Any) -> Any:
        return type(argument)

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check_argument_for_proper_class})


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts one behind the other, each padded with zeros to the largest in all dimensions but the first."""
    sizes = [max(x.shape[d] for x in parts) for d in range(1, parts[0].ndim)]
    padded = [
        x if list(x.shape[1:]) == sizes
        else F.pad(x, [n for d in reversed(range(1, x.ndim)) for n in (0, sizes[d - 1] - x.shape[d])])
        for x in parts
    ]  # fmt: skip
    return torch.cat(padded)


def _bytes(made: Mapping[str, Tensor]) -> int:
    return sum(x.nbytes for x in made.values())
