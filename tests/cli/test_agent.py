"""`operant agent`, and `operant play` of a run that learnt in a world of many turns."""

import json

import pytest

from operant.cli.main import main

pytest.importorskip("transformers")
pytest.importorskip("httpx2")

from language.serve.helpers import Script


def chat(text):
    return (
        200,
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]},
    )


def run(capsys, *argv):
    code = main(["agent", *argv])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_worlds_own_solution_is_shown_turn_by_turn(capsys):
    code, out, _ = run(capsys, "make a ladder", "--world", "text/quests", "--model", "oracle")
    assert code == 0
    assert out.startswith("text/quests · split test · scenario ")
    assert "begin    " in out
    assert "\n1\naction   " in out
    assert out.rstrip().endswith("return 1")
    assert "success after" in out


def test_a_server_tries_and_what_it_gets_wrong_is_counted(capsys):
    server = Script()
    server.answers = [chat("Let me think.\nsing"), chat("answer 5")]
    argv = ["--world", "text/calculator", "--model", server.url, "--name", "m", "--scenario", "0", "--split", "train"]
    code, out, _ = run(capsys, *argv)
    assert code == 0
    assert "thought  Let me think.\naction   sing\nresult   PARSE" in out
    assert "failed after 2 turns, return 0; 1 action with an error" in out
    (path, first), (_, second) = server.asked
    assert path == "/v1/chat/completions"
    assert [m["role"] for m in first["messages"]] == ["system", "user"]
    assert [m["role"] for m in second["messages"]] == ["system", "user", "assistant", "user"]
    assert first["temperature"] == 0.0


def test_react_on_the_desk_is_shown_as_thought_action_and_result_kept_done_again_and_branched(capsys, tmp_path):
    server, kept = Script(), str(tmp_path / "trace.jsonl")
    said = ["What time is it?\n```python\nprint(desk.now())\n```", "I am done.\n```python\ndesk.complete()\n```"]
    server.answers = [chat(text) for text in said]
    argv = ["--world", "desk", "--model", server.url, "--name", "m", "--agent", "react", "--scenario", "0"]
    code, out, _ = run(capsys, *argv, "--out", kept)
    assert code == 0
    assert "\n1\nthought  What time is it?\naction   print(desk.now())\nresult   " in out
    assert "thought  I am done.\naction   desk.complete()" in out
    system = server.asked[0][1]["messages"][0]["content"]
    assert system.endswith("first write in a line or two what you think, then, last, the action.")
    code, out, _ = run(capsys, "--replay", kept)
    assert code == 0
    assert "; the replay is exact" in out
    assert "What time is it?" in out
    server.answers = [chat("Something else.\n```python\nprint(1 + 1)\n```"), chat(said[1])]
    code, out, _ = run(capsys, "--replay", kept, "--branch", "1", *argv[2:8])
    assert code == 0
    assert "action   print(1 + 1)\nresult   2" in out
    assert [m["role"] for m in server.asked[2][1]["messages"]] == ["system", "user", "assistant", "user"]


def test_what_an_agent_asks_besides_is_shown_and_its_calls_are_limited(capsys):
    server = Script()
    server.answers = [chat("Go north, then east."), chat("go north")]
    argv = ["--world", "text/grid", "--model", server.url, "--name", "m", "--agent", "plan-act-reflect", "--calls", "2"]
    code, out, _ = run(capsys, *argv, "--scenario", "0")
    assert code == 0
    assert "plan     Go north, then east." in out
    assert "the calls are spent after 1 turn" in out


def test_a_trace_that_names_code_or_a_turn_it_has_not_is_refused(capsys, tmp_path):
    kept = tmp_path / "trace.jsonl"
    lines = [{"trace": 1, "world": "mine.py:make", "options": {}, "split": "test", "scenario": 0},
             {"step": 0, "said": "", "result": "", "reward": 0.0, "error": None}]  # fmt: skip
    kept.write_text("\n".join(map(json.dumps, lines)))
    code, _, err = run(capsys, "--replay", str(kept))
    assert code == 2
    assert "is of a world that is code; to run it, give --world mine.py:make" in err
    kept.write_text("\n".join(map(json.dumps, [lines[0] | {"world": "text/grid"}, lines[1]])))
    code, _, err = run(capsys, "--replay", str(kept), "--branch", "4", "--model", "oracle")
    assert code == 2
    assert "from 0 to 0" in err


def test_the_agents_of_the_command_line_are_those_there_are():
    from operant.agents import AGENTS
    from operant.cli import speaking

    assert tuple(AGENTS) == speaking.AGENTS


def test_json_has_every_turn(capsys):
    argv = ["--world", "text/grid", "--model", "oracle", "--scenario", "1", "--task.options.size", "5", "--json"]
    code, out, _ = run(capsys, *argv)
    told = json.loads(out)
    assert code == 0
    assert (told["success"], told["return"], told["errors"]) == (True, 1.0, 0)
    assert all(turn["action"].startswith("go ") for turn in told["turns"])
    assert told["turns"][-1]["reward"] > 0


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["--world", "text/quest", "--model", "oracle"], "no world text/quest; nearest: quests"),
        (["--world", "text/grid"], "give --world NAME and --model MODEL, or --replay FILE"),
        (["--replay", "nowhere.jsonl"], "there is no file nowhere.jsonl"),
        (["--world", "nowhere", "--model", "oracle"], "no world 'nowhere'"),
        (["--world", "text/grid", "--model", "oracle", "--split", "tset"], "no split 'tset'; nearest: test"),
        (["--world", "text/grid", "--model", "oracle", "--task.options.walls", "3"], "no option 'walls'"),
        (["--world", "text/grid", "--model", "nowhere"], "nowhere"),
        (["xylophone", "--world", "text/grid", "--model", "oracle"], "has a word of 'xylophone'"),
        (["--world", "text/grid", "--model", "http://127.0.0.1:9/v1", "--name", "m"], "cannot be reached"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(capsys, argv, why, monkeypatch):
    from operant.language.serve import client

    monkeypatch.setattr(client.time, "sleep", lambda _: None)
    code, _, err = run(capsys, *argv)
    assert code == 2 or "reached" in why
    assert code != 0
    assert why in err
    assert "Traceback" not in err


def test_a_model_of_this_machine_tries(capsys, tmp_path):
    """From scratch: what it says is noise, each of which is answered, and none of which ends the program."""
    from operant.language.model.fresh import fresh
    from operant.language.settings.runs import BaseConfig

    policy = fresh(
        BaseConfig(width=32, layers=2, heads=4, positions=512), ["go north south east west exit 0 1 2 3"] * 20
    )
    policy.save(tmp_path / "model")
    argv = ["--world", "text/grid", "--model", str(tmp_path / "model"), "--scenario", "0", "--max-tokens", "8"]
    code, out, _ = run(capsys, *argv, "--temperature", "1")
    assert code == 0
    assert "with an error" in out
    again = run(capsys, *argv, "--temperature", "1")[1]
    assert again == out
