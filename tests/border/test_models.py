"""A model's sizes, tensors and tokens are held against each other before anything is made of them"""

import json
import re
import resource
import signal
import warnings

import pytest

pytest.importorskip("transformers")

import torch
from safetensors.torch import load_file, save_file

from operant.cli.main import main
from operant.config.errors import ConfigError
from operant.data.streams import Streams
from operant.language.model.language_model import LanguageModel
from reference.families import CHATML, IM, byte_level, family, small_llama

LINES = {
    "sft": {"prompt": "say", "completion": " good"},
    "dpo": {"prompt": "say", "chosen": " good", "rejected": " bad"},
    "kto": {"prompt": "say", "completion": " good", "label": True},
    "reward-model": {"prompt": "say", "chosen": " good", "rejected": " bad"},
    "process-reward": {"prompt": "say", "steps": ["good"], "labels": [True]},
}
TASK = """
from operant.reward import Exact
from operant.task import Example, Task
def task():
    made = [Example(prompt=f"{a}=", gold=str(a), solution=str(a)) for a in range(9)]
    return Task(name="t", train=made[:6], test=made[6:], rewards={"correct": Exact()}, max_tokens=4)
"""


def loaded(folder, *_):
    try:
        LanguageModel.load(folder / "model")
    except ConfigError as error:
        return 2, str(error)
    return 0, ""


def command(*words):
    def run(folder, capsys):
        rc = main([w.replace("MODEL", str(folder / "model")).replace("DIR", str(folder)) for w in words])
        return rc, " ".join(capsys.readouterr().err.split())

    return run


def trained(name):
    flags = ("--model", "MODEL", "--total-steps", "4", "--algo.batch", "2", "--threads", "1", "--runs", "DIR/runs")
    flags = (*flags, "--no-save.report", "--eval.episodes", "1")
    more = ("--algo.loss", "kto") if name == "kto" else ()
    return command("train", "dpo" if name == "kto" else name, f"DIR/{name}.jsonl", *flags, *more)


ENTRIES = {
    "LanguageModel.load": loaded,
    "sample": command("sample", "MODEL", "say", "--max-tokens", "2", "--seed", "1", "--threads", "1"),
    "train grpo": command(
        *("train", "grpo", "DIR/task.py", "--model", "MODEL", "--runs", "DIR/runs", "--threads", "1"),
        *("--no-save.report", "--total-steps", "1", "--algo.prompts", "2", "--algo.samples", "2", "--no-eval.before"),
        *("--eval.episodes", "2", "--eval.samples", "0"),
    ),
    **{f"train {name}": trained(name) for name in LINES},
}  # fmt: skip
"""Whoever reads a model, by what it is called."""


@pytest.fixture
def place(tmp_path):
    """A folder with a model, and something to learn from."""
    tokenizer = family("chatml")
    small_llama(tokenizer).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    for name, line in LINES.items():
        (tmp_path / f"{name}.jsonl").write_text((json.dumps(line) + "\n") * 12)
    (tmp_path / "task.py").write_text(TASK)
    return tmp_path


def tensors(place, change):
    path = place / "model" / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def settings(place, **values):
    path = place / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refused(entry, place, capsys, *words):
    rc, told = ENTRIES[entry](place, capsys)
    assert rc == 2
    assert "Traceback" not in told
    for word in words:
        assert word in told


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_model_that_is_whole_is_read(entry, place, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rc, told = ENTRIES[entry](place, capsys)
    assert rc == 0, told


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_missing_tensor_is_named(entry, place, capsys):
    tensors(place, lambda s: {name: x for name, x in s.items() if "layers.1.mlp" not in name})
    refused(entry, place, capsys, "lack model.layers.1.mlp.down_proj.weight", "drawn at random")


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_renamed_tensor_is_named(entry, place, capsys):
    tensors(place, lambda s: {name.replace("model.", "transformer."): x for name, x in s.items()})
    refused(entry, place, capsys, "lack model.embed_tokens.weight", "transformer.embed_tokens.weight")


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_tensor_of_another_architecture_is_named(entry, place, capsys):
    tensors(place, lambda s: s | {"model.layers.0.self_attn.q_norm.weight": torch.ones(8)})
    refused(entry, place, capsys, "model.layers.0.self_attn.q_norm.weight", "describes another model")


def test_a_tensor_beside_the_model_is_told(place):
    tensors(place, lambda s: s | {"v_head.weight": torch.ones(8)})
    with pytest.warns(UserWarning, match=r"v_head\.weight is in the files and not read"):
        LanguageModel.load(place / "model")


SIZES = {
    "num_hidden_layers": 10**6,
    "vocab_size": 10**9,
    "hidden_size": 10**9,
    "intermediate_size": 10**9,
    "head_dim": 10**9,
    "num_attention_heads": 10**9,
    "num_key_value_heads": 3,
}


class LateError(BaseException):
    """Caught by nobody who catches errors."""


@pytest.fixture
def bounded():
    """At most 8 GB and 10 seconds, as whoever makes what is described asks for all there is."""
    before = resource.getrlimit(resource.RLIMIT_AS)

    def late(*_):
        raise LateError

    resource.setrlimit(resource.RLIMIT_AS, (8 * 10**9, before[1]))
    handler = signal.signal(signal.SIGALRM, late)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, handler)
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("entry", ENTRIES)
def test_absurd_sizes_are_refused_before_anything_is_made(entry, place, capsys, bounded):
    before = (place / "model" / "config.json").read_text()
    for name, value in SIZES.items() if entry == "LanguageModel.load" else [("num_hidden_layers", 10**6)]:
        (place / "model" / "config.json").write_text(before)
        settings(place, **{name: value})
        refused(entry, place, capsys, "model")
    (place / "model" / "config.json").write_text(before)
    settings(place, num_hidden_layers=10**6)
    refused(entry, place, capsys, "num_hidden_layers = 1,000,000", "hold 2")


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_padding_token_that_is_not_embedded_is_named(entry, place, capsys):
    """As it comes to be where a token is added to a tokenizer and the model is not made larger."""
    tokenizer = byte_level(CHATML, IM, eos="<|im_end|>")
    tokenizer.add_special_tokens({"pad_token": "<|unused0|>"})
    tokenizer.save_pretrained(place / "model")
    refused(entry, place, capsys, "its pad token '<|unused0|>' is number", 'tokenizer.pad_token = "<pad>"')


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_token_of_the_template_that_is_not_embedded_is_named(entry, place, capsys):
    tokenizer = byte_level(CHATML)
    rows = len(tokenizer)
    small_llama(tokenizer, rows=rows).save_pretrained(place / "model")
    tokenizer.add_special_tokens({"additional_special_tokens": list(IM)})
    tokenizer.save_pretrained(place / "model")
    refused(entry, place, capsys, f"embeds {rows:,}: its chat template's '<|im_start|>'", "resize_token_embeddings")


@pytest.mark.parametrize("entry", [f"train {name}" for name in LINES])
def test_a_token_in_data_that_is_not_embedded_is_named_with_its_line(entry, place, capsys):
    """A model may embed fewer tokens than its tokenizer knows, as long as nobody uses the others."""
    tokenizer = byte_level(None)
    small_llama(tokenizer).save_pretrained(place / "model")
    tokenizer.add_tokens(["zebra"])
    (place / "model" / "chat_template.jinja").unlink()
    tokenizer.save_pretrained(place / "model")
    test_a_model_that_is_whole_is_read(entry, place, capsys)
    name = entry.removeprefix("train ")
    with (place / f"{name}.jsonl").open("a") as file:
        line = json.loads(json.dumps(LINES[name]).replace("good", "zebra"))
        file.write((json.dumps(line) + "\n") * 8)
    refused(
        entry, place, capsys, f"{name}.jsonl:13: 'zebra' is token {len(tokenizer) - 1:,}", "resize_token_embeddings"
    )


PAIRS = {"chosen": " good " * 9, "rejected": " good " * 9 + "bad"}


@pytest.mark.parametrize("entry", ["read_pairs", "read_rankings", "labelled", "train dpo", "train reward-model"])
def test_pairs_without_a_difference_are_counted_and_named(entry, tmp_path, capsys):
    """Those that are equal, and those that are equal once they are cut."""
    from operant.language.text.conversation import Encoder
    from operant.language.text.pairs import read_pairs, read_rankings

    different = {"prompt": "say", "chosen": " yes", "rejected": " no"}
    equal, cut = different | {"rejected": " yes"}, different | PAIRS
    lines = [different, equal, different, cut, different, different]
    if entry == "read_rankings":
        lines = [{"prompt": "say", "answers": [x["chosen"], x["rejected"]]} for x in lines]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = (
        rf"2 of 6 of .* compare equal answers, 1 of them where they are cut at 9 tokens.*{path.name}:2, .*{path.name}:4"
    )
    encoder = Encoder(tokenizer=family("plain"), length=9)
    if entry == "labelled":
        from operant.language.learn.critiques import labelled

        compared = [(x["prompt"], x["chosen"], x["rejected"]) for x in lines]
        asked = "Human: say\n\nAssistant:"
        encoder = Encoder(tokenizer=family("plain"), length=len(encoder.prompt(asked)) + 8)
        with pytest.warns(UserWarning, match=r"2 of 6 of the comparisons .*: comparison 1, comparison 3"):
            assert len(labelled(compared, torch.full((6,), 0.7), encoder)) == 4
        return
    if entry.startswith("train"):
        small_llama(family("plain")).save_pretrained(tmp_path / "model")
        family("plain").save_pretrained(tmp_path / "model")
        words = f"{entry} {path} --model {tmp_path / 'model'} --runs {tmp_path} --total-steps 4 --algo.batch 2"
        words += " --algo.length 9 --threads 1 --no-save.report --eval.episodes 1"
        assert main(words.split()) == 0
        assert re.search(told, capsys.readouterr().err)
        return
    read = {"read_pairs": read_pairs, "read_rankings": read_rankings}[entry]
    with pytest.warns(UserWarning, match=told):
        assert len(read(path, encoder)) == 4
    path.write_text(json.dumps(lines[1]) + "\n")
    with pytest.raises(ConfigError, match=rf"1 of 1 .* nothing to learn: .*{path.name}:1"):
        read(path, encoder)


def test_what_a_reward_model_learnt_is_read_where_a_completion_ends(tmp_path):
    """It agrees with held-out judgements as well on completions of a sampler as on the rows of the file."""
    from operant.language.learn.reward_model import margins_of, reward_model
    from operant.language.learn.reward_scorer import RewardScorer
    from operant.language.model.language_model import Scalar
    from operant.language.sample.sampling import Completion, Prompt
    from operant.language.settings.learning import RewardModelConfig
    from operant.language.text.conversation import Encoder
    from operant.language.text.epochs import Shuffled
    from operant.language.text.pairs import read_pairs

    torch.set_num_threads(1)
    tokenizer = family("chatml")
    lines = [
        {"prompt": [{"role": "user", "content": f"say {i % 7}"}],
         "chosen": [{"role": "assistant", "content": f"good {i % 5}"}],
         "rejected": [{"role": "assistant", "content": f"bad {i % 3}"}]}
        for i in range(40)
    ]  # fmt: skip
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    judged = read_pairs(path, Encoder(tokenizer=tokenizer, length=128))
    model = Scalar(LanguageModel(small_llama(tokenizer), tokenizer))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    cfg = RewardModelConfig(batch=16, lr=1e-2, warmup=0.0)
    steps = reward_model(cfg, Shuffled(judged, Streams(0)), model, optimizer, total_steps=10**6)
    for _ in range(40):
        next(steps)
    margins = margins_of(model, judged)
    assert min(margins) > 1.0

    def sampled(text):
        said = tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
        tokens = (*said, tokenizer.eos_token_id)
        start = Encoder(tokenizer=tokenizer, length=128).prompt(lines[0]["prompt"])
        none = (0.0,) * len(tokens)
        return Completion(
            prompt=Prompt(id=0, tokens=tuple(start)), sample=0, tokens=tokens, logp=none, kept=none,
            acted=(True,) * len(tokens), finish="stop",
        )  # fmt: skip

    good, bad = RewardScorer(model)([sampled("good 0"), sampled("bad 0")])
    assert good - bad == pytest.approx(margins[0], abs=1e-4)


def completion_of(tokenizer, text, end):
    from operant.language.sample.sampling import Completion, Prompt

    tokens = (*tokenizer(text, add_special_tokens=False)["input_ids"], end)
    none = (0.0,) * len(tokens)
    return Completion(
        prompt=Prompt(id=0, tokens=(7, 8)), sample=0, tokens=tokens, logp=none, kept=none, acted=(True,) * len(tokens),
        finish="stop",
    )  # fmt: skip


def test_a_reward_is_read_at_the_token_at_which_it_was_learnt_whichever_ended_the_answer():
    from operant.language.learn.reward_scorer import scorer_of
    from operant.language.model.language_model import Scalar

    tokenizer = family("chatml_other_end")
    turn, end = (tokenizer.convert_tokens_to_ids(t) for t in ("<|im_end|>", "<eos>"))
    policy = LanguageModel(small_llama(tokenizer), tokenizer)
    model = Scalar(policy)
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(0))
    ended = [completion_of(tokenizer, "good", t) for t in (turn, end)]
    for chat, learnt in ((True, ended[0]), (False, ended[1])):
        want = scorer_of(model, policy, "rm", chat=chat).rows([learnt.prompt.tokens + learnt.tokens])
        assert scorer_of(model, policy, "rm", chat=chat)(ended) == pytest.approx(want * 2, abs=1e-6)


@pytest.mark.parametrize("entry", ["other tokens", "another chat template"])
def test_a_reward_model_that_reads_otherwise_than_the_policy_writes_is_refused(entry):
    from operant.language.learn.reward_scorer import scorer_of
    from operant.language.model.language_model import Scalar

    first = family("chatml")
    second = byte_level(CHATML.replace("<|im_end|>", "<|im_start|>"), IM, eos="<|im_end|>")
    second = family("llama3") if entry == "other tokens" else second
    judge, policy = (LanguageModel(small_llama(t), t) for t in (first, second))
    with pytest.raises(ConfigError, match=rf"runs/rm .*{entry}"):
        scorer_of(Scalar(judge), policy, "runs/rm", chat=True)
    scorer_of(Scalar(judge), judge, "runs/rm", chat=True)


def test_a_reward_model_that_learnt_behind_the_end_is_refused(place, capsys):
    """As an older version made them, where a template writes a newline behind the end of an answer."""
    from operant.language.learn.reward_model import read_reward

    assert ENTRIES["train reward-model"](place, capsys)[0] == 0
    (run,) = (place / "runs").iterdir()
    read_reward(str(run), "cpu")
    for path in (run / "checkpoints").glob("*/policy.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"counters": {}}))
    with pytest.raises(ConfigError, match=r"learnt its scores behind the token that ends an answer.* train it again"):
        read_reward(str(run), "cpu")
