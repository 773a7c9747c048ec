import os

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"

TEXTS = ["the quick brown fox jumps over the lazy dog", "user: hello\nassistant: good day €uro naïve 😀 日本語"] * 20
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture(scope="session")
def policy():
    """A model with random weights that writes any bytes, and a byte-level tokenizer with a chat template."""
    pytest.importorskip("transformers")
    from operant.language.model.fresh import fresh
    from operant.language.serve.speaker import compile_ahead
    from operant.language.settings.runs import BaseConfig

    made = fresh(BaseConfig(width=32, layers=2, heads=4, positions=256), TEXTS)
    made.tokenizer.chat_template = TEMPLATE
    compile_ahead(made)  # or whoever waits for a first token would run out of patience
    return made


@pytest.fixture(scope="session")
def tokenizer(policy):
    return policy.tokenizer
