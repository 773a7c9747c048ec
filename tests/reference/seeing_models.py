"""Models that see, of several families of transformers, as folders: a few thousand random weights and a processor."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from operant.language.model.fresh import train_tokenizer
from operant.language.model.seeing import unchecked

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "llava", "idefics3", "smolvlm")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for p in m['content'] %}{% if p['type'] == 'image' %}MARKER{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PARTS_ALONE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}{% if p['type'] == 'image' %}MARKER"
    "{% elif p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512,
    "bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0,
}  # fmt: skip
SIGLIP = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
          "image_size": 16, "patch_size": 4}  # fmt: skip


def seeing(kind: str, folder: Path, seed: int = 0) -> Path:
    """Write a folder with config, weights, tokenizer and processor of a family, and return it."""
    import transformers as hf

    tokenizer, marker = _tokenizer(kind)
    processor = _processor(kind, tokenizer)
    tokenizer.chat_template = (PARTS_ALONE if kind == "smolvlm" else TEMPLATE).replace("MARKER", marker)
    text = TEXT | {"vocab_size": len(tokenizer)}
    image = tokenizer.convert_tokens_to_ids("<|image_pad|>" if kind.startswith("qwen") else "<image>")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind.startswith("qwen"):
            name, ends = ("Qwen2VL", {}) if kind == "qwen2_vl" else ("Qwen2_5_VL", {"out_hidden_size": 32})
            eyes: dict[str, Any] = {"depth": 2, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2} | ends
            eyes |= (
                {"embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
                if kind == "qwen2_vl"
                else {"hidden_size": 16, "intermediate_size": 32, "window_size": 16, "fullatt_block_indexes": [1]}
            )
            rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
            config = getattr(hf, f"{name}Config")(
                text_config=text | {"rope_parameters": rope}, vision_config=eyes, image_token_id=image,
                video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
                vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
                vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"), tie_word_embeddings=False,
            )  # fmt: skip
            model = getattr(hf, f"{name}ForConditionalGeneration")(config)
        elif kind == "llava":
            config = hf.LlavaConfig(
                vision_config=SIGLIP | {"model_type": "siglip_vision_model"},
                text_config=text | {"model_type": "llama"},
                image_token_id=image, vision_feature_layer=-1, vision_feature_select_strategy="full",
            )  # fmt: skip
            model = hf.LlavaForConditionalGeneration(config)
        else:
            name = {"idefics3": "Idefics3", "smolvlm": "SmolVLM"}[kind]
            config = getattr(hf, f"{name}Config")(
                vision_config=SIGLIP, text_config=text | {"model_type": "llama"}, image_token_id=image, scale_factor=2,
                pad_token_id=0, tie_word_embeddings=False,
            )  # fmt: skip
            model = getattr(hf, f"{name}ForConditionalGeneration")(config)
        for p in model.parameters():  # far enough from 0 that pictures make a difference
            torch.nn.init.normal_(p, std=0.15)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _write(processor, kind, folder)
    return folder


def processor_of(folder: Path, kind: str) -> Any:
    """The processor of a folder, as transformers makes it, but for the part for films, which needs torchvision."""
    import transformers as hf

    return _processor(kind, hf.AutoTokenizer.from_pretrained(folder))


def _tokenizer(kind: str) -> tuple[Any, str]:
    tokenizer = train_tokenizer((), 512)
    more = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    if not kind.startswith("qwen"):
        more = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
        more += [f"<row_{r}_col_{c}>" for r in range(1, 4) for c in range(1, 4)]
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>", *more]})
    return tokenizer, "<|vision_start|><|image_pad|><|vision_end|>" if kind.startswith("qwen") else "<image>"


def _processor(kind: str, tokenizer: Any) -> Any:
    import transformers as hf

    if kind.startswith("qwen"):
        pixels = _pil("qwen2_vl", "Qwen2VL")(
            patch_size=4, merge_size=2, temporal_patch_size=2, size={"shortest_edge": 64, "longest_edge": 4096}
        )
        name = {"qwen2_vl": "Qwen2VLProcessor", "qwen2_5_vl": "Qwen2_5_VLProcessor"}[kind]
        return unchecked(getattr(hf, name))(image_processor=pixels, tokenizer=tokenizer)
    if kind == "llava":
        pixels = _pil("siglip", "Siglip")(size={"height": 16, "width": 16})
        return hf.LlavaProcessor(
            image_processor=pixels, tokenizer=tokenizer, patch_size=4, vision_feature_select_strategy="full",
            num_additional_image_tokens=0,
        )  # fmt: skip
    name = {"idefics3": "Idefics3", "smolvlm": "SmolVLM"}[kind]
    pixels = _pil(kind, name)(size={"longest_edge": 32}, max_image_size={"longest_edge": 16}, do_image_splitting=True)
    return hf.Idefics3Processor(
        image_processor=pixels, tokenizer=tokenizer, image_seq_len=4
    )  # SmolVLM's needs num2words


def _pil(kind: str, name: str) -> Any:
    import importlib

    module: ModuleType = importlib.import_module(f"transformers.models.{kind}.image_processing_pil_{kind}")
    return getattr(module, f"{name}ImageProcessorPil")


def _write(processor: Any, kind: str, folder: Path) -> None:
    """The files of a processor, of which transformers writes none where a part is missing."""
    import json

    processor.image_processor.save_pretrained(folder)
    told = {"processor_class": type(processor).__name__}
    if kind == "llava":
        told |= {"patch_size": 4, "vision_feature_select_strategy": "full", "num_additional_image_tokens": 0}
    if kind in ("idefics3", "smolvlm"):
        told |= {"image_seq_len": 4}
    (folder / "processor_config.json").write_text(json.dumps(told), encoding="utf-8")
