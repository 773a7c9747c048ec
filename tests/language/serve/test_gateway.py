"""Agents written elsewhere, served and recorded: token ids, log-probabilities, and rows that can be learnt from."""

import json
import urllib.request

import pytest
import torch

pytest.importorskip("httpx2")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from language.serve.helpers import PATIENCE
from operant.language.episodes.episodes import episodes
from operant.language.serve.gateway import Gateway
from operant.language.serve.recorder import Recorder
from operant.language.serve.scheduler import Token


@pytest.fixture(scope="module")
def gateway(policy):
    with Gateway(policy, seed=3) as made:
        yield made


def ask(url, path, body):
    """A foreign agent's request: nothing but the standard library, and no word of operant's."""
    request = urllib.request.Request(
        f"{url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json", "Authorization": "Bearer any"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        raw = answer.read()
    if not body.get("stream"):
        return json.loads(raw)
    lines = [line for line in raw.decode().splitlines() if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line[6:]) for line in lines[:-1]]


def talk(url, turns=3, forget=False, **rest):
    """A foreign agent: it keeps the conversation as text, and answers what it hears with a question."""
    messages, answers = [{"role": "user", "content": "the quick"}], []
    for k in range(turns):
        said = ask(url, "chat/completions", {"messages": messages, "max_tokens": 8, **rest})
        answers.append(said)
        text = said["choices"][0]["message"]["content"]
        messages = [
            *([] if forget else messages),
            {"role": "assistant", "content": text},
            {"role": "user", "content": f"fox {k}"},
        ]
    return answers


def recomputed(policy, row):
    """log π of the sampled tokens of a row, by the trainer's own forward pass."""
    tokens = torch.tensor([[*row.prompt.tokens, *row.tokens]])
    with torch.no_grad():
        states = policy.hidden(tokens)[0]
        logp = policy.decoder.head(states).float().log_softmax(-1)
    first = len(row.prompt.tokens) - 1
    return logp[first:-1].gather(-1, tokens[0, first + 1 :, None])[:, 0]


ASKED = {"prompt": "the quick", "max_tokens": 24, "seed": 3, "return_token_ids": True}


def test_an_answer_has_the_numbers_of_its_tokens(gateway, policy):
    url = gateway.url(0).replace("/episodes/0", "")
    plain = ask(url, "completions", {k: v for k, v in ASKED.items() if k != "return_token_ids"})
    answer = ask(url, "completions", ASKED | {"logprobs": 0, "prompt_logprobs": 0})
    (choice,) = answer["choices"]
    assert choice["text"] == plain["choices"][0]["text"], "asking for numbers changes nothing"
    assert "token_ids" not in plain["choices"][0]
    assert choice["prompt_token_ids"] == policy.tokenizer("the quick")["input_ids"]
    assert len(choice["token_ids"]) == len(choice["token_logprobs"]) == answer["usage"]["completion_tokens"]
    listed = choice["logprobs"]["token_logprobs"]
    assert listed == choice["token_logprobs"][: len(listed)]
    tokens = torch.tensor([[*choice["prompt_token_ids"], *choice["token_ids"]]])
    with torch.no_grad():
        logp = policy.decoder.head(policy.hidden(tokens)[0]).float().log_softmax(-1)
    own = logp[:-1].gather(-1, tokens[0, 1:, None])[:, 0].tolist()
    first = len(choice["prompt_token_ids"])
    assert choice["token_logprobs"] == pytest.approx(own[first - 1 :], abs=1e-4)
    assert choice["prompt_logprobs"][0] is None
    told = [next(iter(each.values()))["logprob"] for each in choice["prompt_logprobs"][1:]]
    assert told == pytest.approx(own[: first - 1], abs=1e-4)
    assert [int(next(iter(each))) for each in choice["prompt_logprobs"][1:]] == choice["prompt_token_ids"][1:]


def test_what_ended_an_answer_and_what_was_cut_off_are_among_its_tokens(gateway, policy):
    """A stop text cuts what is said, not what was drawn."""
    url = gateway.url(0).replace("/episodes/0", "")
    whole = ask(url, "completions", ASKED)["choices"][0]
    stop = whole["text"][6:9]
    for stream in (False, True):
        answer = ask(url, "completions", ASKED | {"stop": [stop], "stream": stream})
        choices = [c for part in (answer if stream else [answer]) for c in part["choices"]]
        ids = [i for c in choices for i in c.get("token_ids", ())]
        text = "".join(c["text"] for c in choices)
        assert text == whole["text"][: whole["text"].index(stop)]
        assert ids == whole["token_ids"][: len(ids)]
        spelled = policy.tokenizer.decode(ids)
        assert spelled.startswith(text + stop)
        assert [c["finish_reason"] for c in choices][-1] == "stop"


def test_a_stream_has_the_same_numbers(gateway):
    url = gateway.url(0).replace("/episodes/0", "")
    whole = ask(url, "completions", ASKED | {"n": 2})["choices"]
    parts = [c for part in ask(url, "completions", ASKED | {"n": 2, "stream": True}) for c in part["choices"]]
    for one in whole:
        own = [c for c in parts if c["index"] == one["index"]]
        assert [i for c in own for i in c.get("token_ids", ())] == one["token_ids"]
        assert [x for c in own for x in c.get("token_logprobs", ())] == one["token_logprobs"]
        assert own[0]["prompt_token_ids"] == one["prompt_token_ids"]


def test_a_foreign_agent_becomes_one_row_where_its_prompts_go_on(gateway, policy):
    """Its text is encoded again by the server: where that gives the tokens that were drawn, the row goes on."""
    answers = talk(gateway.url(7), return_token_ids=True)
    rows = gateway.take(7)
    drawn = [i for a in answers for i in a["choices"][0]["token_ids"]]
    assert sum(sum(row.acted) for row in rows) == len(drawn)
    assert [t for row in rows for t, own in zip(row.tokens, row.acted, strict=True) if own] == drawn
    for row in rows:
        fed = [*row.prompt.tokens, *row.tokens]
        assert any(fed == [*a["prompt_token_ids"], *a["choices"][0]["token_ids"]] for a in answers)
        own = recomputed(policy, row)
        error = [abs(a - b) for a, b, s in zip(row.logp, own.tolist(), row.acted, strict=True) if s]
        assert max(error) < 1e-4
        assert all(x == 0.0 for x, s in zip(row.logp, row.acted, strict=True) if not s)
    assert gateway.take(7) == [], "it is forgotten"


def test_the_prefix_test_merges_and_splits(policy):
    def token(i):
        return Token(id=i, logp=-0.5, kept=0.0, top=(), begin=0)

    kept = Recorder()
    kept.add(1, [1, 2], [token(3), token(4)], cut=False)
    kept.add(1, [1, 2, 3, 4, 9, 9], [token(5)], cut=False)  # goes on
    kept.add(1, [1, 2, 3, 9], [token(6)], cut=False)  # the history was changed
    kept.add(1, [1, 2, 3, 4, 9, 9, 5, 8], [token(7)], cut=True)  # the first goes on all the same
    kept.add(2, [1, 2, 3, 4], [token(1)], cut=False)
    first, other = kept.take(1)
    assert (first.prompt.tokens, first.tokens) == ((1, 2), (3, 4, 9, 9, 5, 8, 7))
    assert first.acted == (True, True, False, False, True, False, True)
    assert first.logp == (-0.5, -0.5, 0.0, 0.0, -0.5, 0.0, -0.5)
    assert (other.prompt.tokens, other.tokens, other.sample) == ((1, 2, 3, 9), (6,), 1)
    assert (kept.merged, kept.split) == (2, 1)
    assert len(kept.take(2)) == 1


def test_an_agent_that_shortens_its_history_has_a_row_for_each_request(gateway):
    talk(gateway.url(9), turns=3, forget=True)
    assert len(gateway.take(9)) == 3


def test_equal_episodes_are_equal_and_others_are_not_whatever_is_asked_meanwhile(policy):
    with Gateway(policy, seed=5) as one, Gateway(policy, seed=5) as other:
        talk(other.url(1))
        first, again, third = talk(one.url(4)), talk(other.url(4)), talk(other.url(6))
    texts = [[a["choices"][0]["message"]["content"] for a in each] for each in (first, again, third)]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_its_rows_are_a_batch_whose_ratio_is_one_and_whose_gradient_raises_what_paid(gateway, policy):
    for episode in (20, 21):
        talk(gateway.url(episode), turns=2)
    rows = [row for episode in (20, 21) for row in gateway.take(episode)]
    returns = [1.0 if row.prompt.id == 20 else 0.0 for row in rows]
    batch = episodes(rows, returns)
    acted = batch.traj.acted
    assert int(acted.sum()) == sum(sum(row.acted) for row in rows)
    weight = torch.tensor([1.0 if r else -1.0 for r in returns])[:, None] * acted

    def logp():
        states = policy.decoder.head(policy.hidden(batch.traj.obs)).float().log_softmax(-1)
        return states[:, :-1].gather(-1, batch.traj.action[..., None])[..., 0]

    before = logp()
    ratio = (before.detach() - batch.traj.logp).exp()[acted]
    assert float((ratio - 1).abs().max()) < 1e-4
    saved = {name: value.clone() for name, value in policy.state_dict().items()}
    parameters = [p for p in policy.parameters() if p.requires_grad]
    grads = torch.autograd.grad(-(before * weight).sum(), parameters, allow_unused=True)
    with torch.no_grad():
        for p, g in zip(parameters, grads, strict=True):
            p -= 1e-3 * g if g is not None else 0.0
        after = logp()
        policy.load_state_dict(saved)
    assert float(((after - before).detach() * weight).sum()) > 0.0


def test_what_is_no_episode_is_told(gateway):
    from operant.config.errors import ConfigError

    with pytest.raises(ConfigError, match="episode is -1"):
        gateway.url(-1)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(gateway.url(1).replace("/1/", "/x/"), "completions", ASKED)
    with pytest.raises(urllib.error.HTTPError, match="400"):
        ask(gateway.url(1), "completions", ASKED | {"prompt_logprobs": 3})
