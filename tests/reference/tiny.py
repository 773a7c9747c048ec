"""Tiny causal language models of each family with random weights, and a tokenizer, built from configs alone."""

import torch

SHAPE = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
ROPE = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
SLIM = {  # what the slim forward reads
    "llama": {"num_key_value_heads": 2, "attention_bias": True, "mlp_bias": True, "rope_parameters": ROPE},
    "llama-tied": {"num_key_value_heads": 4, "tie_word_embeddings": True},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 16},
    "gemma": {"num_key_value_heads": 1, "head_dim": 16},
    "gpt2": {},
}
WHOLE = {  # what goes through transformers
    "mistral": {"num_key_value_heads": 2, "sliding_window": 6},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 8, "sliding_window": 6, "final_logit_softcapping": 3.0},
    "qwen2-window": {
        "num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1,
    },
    "gpt2-inverse": {"scale_attn_by_inverse_layer_idx": True},
}  # fmt: skip


def model_of(family, seed=0, **change):
    """A model whose logits have opinions: weights are ten times the usual."""
    from transformers import AutoConfig, AutoModelForCausalLM

    kind = family.split("-")[0]
    given = SHAPE | (SLIM | WHOLE)[family] | change
    if kind == "gpt2":
        names = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head",
                 "max_position_embeddings": "n_positions", "intermediate_size": "n_inner"}  # fmt: skip
        given = {names.get(name, name): value for name, value in given.items()}
    config = AutoConfig.for_model(kind, **given)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        with torch.no_grad():
            for name, p in model.named_parameters():
                if p.ndim == 2:
                    p.normal_(0.0, 1.0 if "embed" in name or "wte" in name else 0.25)
                elif "norm" in name or "ln_" in name or "bias" in name:
                    p.add_(torch.randn_like(p) * 0.2)
        model.tie_weights()
    return model


def tokenizer():
    """Words w0 … w299, of which 0 pads and 1 ends."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, 300)}}
    plain = Tokenizer(models.WordLevel(words, unk_token="w2"))
    plain.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="<eos>")


def rows(lengths, seed=0, vocab=300):
    """Rows of random tokens (2 …) of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(2, vocab, (n,), generator=generator) for n in lengths]
