"""The section of a report on episodes of many turns."""

import json

import pytest

from operant.language.episodes.message_graph import MessageGraph
from operant.language.episodes.played import Asked, Played
from operant.language.episodes.world import Scenario
from operant.language.episodes.world_files import first_of_each, read_pictures, write_pictures
from operant.run.folder import RunFolder
from operant.view.episodes import Speller, newest, read_episodes
from operant.view.report import write_report

pytest.importorskip("tokenizers")


def tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    made = Tokenizer(models.BPE({c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def episode(turns, *, template="told", scenario=1, cause="fail", success=0.0, reward=0.0, mode="greedy", **rest):
    """A row as runs of many turns write it; `turns`: (action, result, reward, error)."""
    spell = tokenizer()
    tokens, sampled = [], []
    told = []
    for k, (action, result, earned, error) in enumerate(turns):
        own, given = spell.encode(action).ids, spell.encode(result + "\n>").ids if k + 1 < len(turns) else []
        tokens += own + given
        sampled += [True] * len(own) + [False] * len(given)
        shown = "You see a safe." if k == 0 else "…"
        about = {"reward": earned, "error": error, "tokens": len(own), "cut": False}
        told.append({"shown": shown, "action": action, "result": result, **about})
    return {
        "step": 1, "prompt_id": scenario, "sample": 0, "prompt": "Open the safe.", "completion": "…", "gold": "",
        "finish": "stop", "mode": mode, "reward": reward, "advantage": None, "reward/success": success,
        "tokens": tokens, "logp": [-0.5] * len(tokens), "template": template, "scenario": scenario, "cause": cause,
        "faults": 0, "note": "", "turns": json.dumps(told), "sampled": sampled, "row": [0] * len(tokens), **rest,
    }  # fmt: skip


def run_with(tmp_path, files, *, spelled=True):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = RunFolder.create(tmp_path, env="text/quests", algorithm="loop", seed=1)
    (folder.path / "rollouts").mkdir(exist_ok=True)
    for name, rows in files.items():
        pq.write_table(pa.Table.from_pylist(rows), folder.path / "rollouts" / name)
    if spelled:
        (folder.path / "checkpoints" / "latest").mkdir(parents=True)
        tokenizer().save(str(folder.path / "checkpoints" / "latest" / "tokenizer.json"))
    for step in (0, 10):
        folder.writer.write(step, float(step), {"eval/accuracy_greedy": 0.25 + step / 100})
    folder.writer.close()
    return folder.path


WELL = [
    ("dial 417", "In the safe: <b>wax</b>.", 0.0, None),
    ("sing", "PARSE no such command", 0.0, "PARSE no such command"),
    ("take é", "Done.", 1.0, None),
]
BADLY = [("dial 1", "The safe stays locked.", 0.0, "WRONG_NUMBER the safe stays locked")]


def section(page):
    begin = page.index("Episodes, turn by turn")
    return page[begin : page.index("</section>", begin)]


def test_an_episode_stands_there_turn_by_turn(tmp_path):
    rows = [episode(BADLY, scenario=1), episode(WELL, scenario=2, cause="success", success=1.0, reward=1.0),
            episode(BADLY, template="book", scenario=3), episode(WELL, mode="sampled", scenario=9)]  # fmt: skip
    page = write_report(run_with(tmp_path, {"eval-step-00000010.parquet": rows})).read_text("utf-8")
    text = section(page)
    assert "3 greedy episodes of the evaluation at step 10" in text
    assert text.index("scenario 1") < text.index("scenario 3") or "book" in text
    assert [text.count(f"scenario {k}") for k in (1, 2, 3, 9)] == [1, 1, 1, 0]
    assert "&lt;b&gt;wax" in text
    assert "<b>wax" not in text
    assert "WRONG_NUMBER the safe stays locked" in text
    assert '<b class="plus">+1</b>' in text
    assert "success · return 1" in text
    assert "<tr><td>told</td><td>2</td><td>0</td><td>50.0</td><td>0.500</td><td>2.0</td><td>50.0</td></tr>" in text
    assert "What it writes" not in page
    assert "Held-out accuracy" in text


def test_tokens_are_told_apart_by_who_wrote_them_and_by_their_advantage(tmp_path):
    whole = episode(WELL, mode="sampled", cause="success", success=1.0, reward=1.0, advantage=0.5)
    poor = episode(BADLY, mode="sampled", scenario=4, advantage=-0.25)
    page = write_report(run_with(tmp_path, {"step-00000004.parquet": [whole, poor]})).read_text("utf-8")
    text = section(page)
    assert "2 episodes of training at step 4" in text
    drawn = [f'<i class="up" style="--s:1.0">{c}</i>' for c in "dial 417"]
    assert "".join(drawn) in text
    assert '<i class="given">In the safe: &lt;b&gt;wax&lt;/b&gt;.\n&gt;</i>' in text
    assert '<i class="down" style="--s:0.5">d</i>' in text
    assert '<i class="up" style="--s:1.0">é</i>' in text
    assert "Show tokens" in text


def test_each_token_may_have_an_advantage_of_its_own(tmp_path):
    row = episode(BADLY, mode="sampled", advantage=-9.0)
    row["advantages"] = [0.0, 1.0, -0.5] + [0.0] * (len(row["tokens"]) - 3)
    text = section(write_report(run_with(tmp_path, {"step-00000004.parquet": [row]})).read_text("utf-8"))
    assert '<i class="drawn">d</i><i class="up" style="--s:1.0">i</i><i class="down" style="--s:0.5">a</i>' in text


def test_the_newest_evaluation_is_shown_and_what_has_no_score_is_no_zero(tmp_path):
    broken = episode([], cause="fault", reward=None, success=None, note="EnvError: gone")
    files = {"eval-step-00000000.parquet": [episode(BADLY)], "eval-step-00000010.parquet": [broken, episode(BADLY)],
             "step-00000020.parquet": [episode(BADLY, mode="sampled")]}  # fmt: skip
    run = run_with(tmp_path, files, spelled=False)
    assert newest(run)[:2] == (True, 10)
    text = section(write_report(run).read_text("utf-8"))
    assert "EnvError: gone" in text
    assert "<tr><td>told</td><td>2</td><td>1</td><td>0.0</td><td>0.000</td>" in text
    assert "Show tokens" not in text
    assert len(read_episodes(newest(run)[2])) == 2


def test_a_file_of_completions_is_none_of_episodes(tmp_path):
    row = {k: v for k, v in episode(BADLY).items() if k not in ("turns", "sampled", "cause", "note", "template")}
    run = run_with(tmp_path, {"eval-step-00000010.parquet": [row]})
    assert newest(run) is None
    page = write_report(run).read_text("utf-8")
    assert "Episodes, turn by turn" not in page
    assert "What it writes" in page


def test_pieces_of_tokens_add_up_to_the_text():
    spell = Speller(tokenizer())
    text = "naïve 日本 😀 end"
    ids = tokenizer().encode(text).ids
    pieces = spell(ids)
    assert "".join(pieces) == text
    assert len(pieces) == len(ids)
    assert "\ufffd" not in "".join(pieces)


def filmed(path, scenario, pictures):
    """An episode's pictures beside its file, as an evaluation keeps them."""
    asked = Asked(id=0, group=0, member=0, scenario=Scenario(id=scenario, template="t", seed=0, instruction=""))
    write_pictures(path, [Played(asked=asked, graph=MessageGraph(), pictures=pictures)])


def picture(colour, size=(40, 30)):
    import io

    image = pytest.importorskip("PIL.Image").new("RGB", size, colour)
    image.putpixel((0, size[1] - 1), (1, 2, 3))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def test_an_episode_that_was_filmed_is_a_strip_of_pictures(tmp_path):
    rows = [episode(WELL, scenario=7, success=1.0, reward=1.0, cause="success"), episode(BADLY, scenario=8)]
    run = run_with(tmp_path, {"eval-step-00000010.parquet": rows})
    filmed(run / "rollouts" / "eval-step-00000010.parquet", 7, [picture(c) for c in ("red", "green", "blue", "white")])
    filmed(run / "rollouts" / "eval-step-00000010.parquet", 8, [picture("red"), b"no picture"])
    page = section(write_report(run).read_text(encoding="utf-8"))
    strip, *others = page.split('class="strip"')[1:]
    assert others == []  # what cannot be read is left out, and the turns stand there as text
    strip = strip[: strip.index('class="turns"')]
    figures = strip.split("<figure>")[1:]
    assert len(figures) == 4
    assert len({figure.split('"')[1] for figure in figures}) == 4
    assert all(figure.split('"')[1].startswith("data:image/png;base64,") for figure in figures)
    assert "dial 417" in figures[0]
    assert '<i class="drawn">' in figures[0]  # tokens by mask, behind the switch
    assert "PARSE no such command" in figures[1]
    assert "+1" in figures[2]
    assert "end: success, return 1" in figures[3]


def test_pictures_are_read_only_if_all_are_there(tmp_path):
    path = tmp_path / "eval-step-00000001.parquet"
    filmed(path, 3, [b"a", b"b"])
    assert read_pictures(path, 3, 1) == [b"a", b"b"]
    assert read_pictures(path, 3, 2) == read_pictures(path, 4, 1) == []
    assert first_of_each(["a", "a", "b", "c", "b", "a", "c", "c"]) == [0, 2, 3, 1, 4, 6]


def test_wide_pictures_become_small_and_lose_what_is_empty_below():
    import base64
    import io

    from operant.view.strips import WIDEST, strip

    image = pytest.importorskip("PIL.Image")
    wide = image.new("RGB", (1280, 2048), "white")
    wide.paste("black", (0, 0, 957, 497))
    out = io.BytesIO()
    wide.save(out, "PNG")
    (made,) = strip([out.getvalue()])
    shown = image.open(io.BytesIO(base64.b64decode(made.partition(",")[2])))
    assert (shown.width, shown.height) == (WIDEST, 500 * WIDEST // 960)
