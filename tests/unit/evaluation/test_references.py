"""Scores stand between chance, a bottom line and toplines; published ones beside them, or with what forbids it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from megatron_speech.config.inspection.compare_evaluations import CompareEvaluationsConfig
from megatron_speech.evaluation.comparison import published, references
from megatron_speech.evaluation.comparison.compare import compare_evaluations
from megatron_speech.evaluation.comparison.published import PublishedRow, incomparable, published_rows, rows_of
from megatron_speech.evaluation.comparison.references import Reference, references_of
from megatron_speech.evaluation.comparison.scores import compared_scores
from megatron_speech.metrics.aggregates import mean_of_sets
from megatron_speech.metrics.intervals import mean_interval
from tests.toy_evaluations import credits, error_evaluation, evaluation

ROW = PublishedRow(
    set="StoryCloze",
    pair="speech->text",
    model="Model 9B",
    measure="accuracy",
    value=76.3,
    protocol={"score": "per token"},
    items=200,
    source="a paper",
    note="",
)


def pairs(written: float, spoken: float, *, seed: int) -> dict[str, list[float]]:
    return {"text->text": credits(written, seed=seed), "speech->text": credits(spoken, seed=seed + 1)}


def found(config: CompareEvaluationsConfig) -> list[Reference]:
    return references_of(config, compared_scores(config), ["a", "b"])


@pytest.fixture
def config(tmp_path: Path) -> CompareEvaluationsConfig:
    """Two models, a bottom line, and a cascade whose texts are other data."""
    models = [evaluation(tmp_path / name, pairs(0.9, 0.6, seed=seed)) for seed, name in ((1, "a"), (3, "b"))]
    low = evaluation(tmp_path / "low", pairs(0.8, 0.5, seed=5))
    heard = evaluation(tmp_path / "heard", {"text->text": credits(0.8, seed=7)}, more={"data": {"d": "heard"}})
    return CompareEvaluationsConfig(evaluations=models, bottom_line=low, cascade=heard)


def test_a_spoken_score_has_references_below_and_above(config: CompareEvaluationsConfig):
    lines = list(compare_evaluations(config))
    start = lines.index("\nbetween chance and topline:")
    block = list(lines[start + 1 :])
    spoken = next(place for place, line in enumerate(block) if "speech->text" in line)
    whats = [
        "chance",
        f"bottom line: {config.bottom_line}",
        "a",
        "b",
        "topline: a, text->text",
        "topline: b, text->text",
    ]
    for line, what in zip(block[spoken:], [*whats, f"cascade: {config.cascade}"], strict=True):
        assert f"  {what}  " in line
    assert block[spoken].endswith("  50.0")


def test_references_are_the_scores_of_their_evaluations(config: CompareEvaluationsConfig):
    by_kind = {(each.kind, each.of, each.pair): each.score for each in found(config)}
    written = {score.pair: score for score in compared_scores(config)}["text->text"]
    assert by_kind["topline", "a, text->text", "speech->text"] == written.scores[0]
    assert by_kind["cascade", str(config.cascade), "speech->text"].value == sum(credits(0.8, seed=7)) / 200
    low = mean_interval(credits(0.5, seed=6), resamples=config.resamples).rounded()
    assert by_kind["bottom line", str(config.bottom_line), "speech->text"] == low
    assert not any(kind in ("topline", "cascade") and pair == "text->text" for kind, _, pair in by_kind)


def test_a_restricted_way_has_its_own_topline_and_the_published_scores_of_its_pair(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(published, "published_rows", lambda: (ROW,))
    ways = {f"{pair}{way}": credits(0.5, seed=1) for pair in ("text->text", "speech->text") for way in ("", " in E")}
    folders = [evaluation(tmp_path / name, ways) for name in "ab"]
    given = found(CompareEvaluationsConfig(evaluations=folders, published={"Cloze": "StoryCloze"}))
    toplines = [(each.pair, each.of) for each in given if each.kind == "topline" and each.of.startswith("a")]
    assert toplines == [("speech->text", "a, text->text"), ("speech->text in E", "a, text->text in E")]
    assert [each.pair for each in given if each.kind == "published"] == ["speech->text", "speech->text in E"]


def test_the_topline_of_speech_that_whisper_read_is_the_written_answer(tmp_path: Path):
    ways = ("text->text in thoughts", "speech->speech in thoughts", "speech->speech in thoughts by Whisper")
    folders = [evaluation(tmp_path / name, {way: credits(0.5, seed=1) for way in ways}) for name in "ab"]
    given = found(CompareEvaluationsConfig(evaluations=folders))
    assert [(each.pair, each.of) for each in given if each.of.startswith("a")] == [
        (way, "a, text->text in thoughts") for way in ways[1:]
    ]


def test_without_a_reference_there_is_no_such_table(tmp_path: Path):
    folders = [evaluation(tmp_path / name, {"text->text": [1.0, 0.0]}) for name in "ab"]
    assert not any("topline" in line for line in compare_evaluations(CompareEvaluationsConfig(evaluations=folders)))


def test_a_cascade_may_differ_in_its_texts_only(config: CompareEvaluationsConfig, tmp_path: Path):
    other = evaluation(tmp_path / "sum", {"text->text": credits(0.8, seed=7)}, more={"score": "in sum"})
    with pytest.raises(ValueError, match=r"different protocols \(cloze\.score: per token -> in sum\)"):
        found(replace(config, cascade=other))
    with pytest.raises(ValueError, match=r"different protocols \(cloze\.data\.d: 9 -> heard\)"):
        found(replace(config, bottom_line=config.cascade))
    fewer = evaluation(tmp_path / "fewer", {"text->text": credits(0.8, seed=7)[:-1]})
    with pytest.raises(ValueError, match=r"1 items of Cloze text->text are in one of them only, such as 'i199'"):
        found(replace(config, cascade=fewer))


def test_an_old_evaluation_is_no_reference(config: CompareEvaluationsConfig):
    (config.bottom_line / "protocol.json").unlink()
    with pytest.raises(ValueError, match=r"low holds no protocol\.json: .*; evaluate the model again"):
        found(config)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"protocol": {}}, "score not told"),
        ({"protocol": {}, "items": None}, "score, items not told"),
        ({"protocol": {"score": "in sum"}}, "score was in sum, here per token"),
        ({"protocol": {"score": "per token", "matcher": "GPT judge"}}, "matcher was GPT judge, here none"),
        ({"items": 1871}, "1,871 items, here 200"),
        ({"measure": "WER"}, "it is a WER"),
    ],
)
def test_a_published_score_is_compared_only_by_the_same_protocol(changes: dict, why: str):
    assert incomparable(replace(ROW, **changes), {"score": "per token"}, 200) == why


def test_a_published_score_stands_beside_its_pair_with_the_verdict(config: CompareEvaluationsConfig, monkeypatch):
    rows = [ROW, replace(ROW, model="Other 7B", items=None, note="two sources"), replace(ROW, pair="speech->speech")]
    monkeypatch.setattr(published, "published_rows", lambda: tuple(rows))
    config = replace(config, published={"Cloze": "StoryCloze"})
    lines = [line.strip() for line in compare_evaluations(config) if "a paper" in line]
    assert [line.split("  ")[0] for line in lines] == ["Model 9B [a paper]", "Other 7B [a paper]"]
    assert lines[0].endswith("  76.3, comparable")
    assert lines[1].endswith("  76.3, not comparable: items not told (two sources)")
    record = json.loads("".join(compare_evaluations(replace(config, json=True))))
    told = [each for each in record["references"] if each["kind"] == "published"]
    assert [each.get("not_comparable", "") for each in told] == ["", "items not told"]
    assert all(each["source"] == "a paper" and each["published"] == 76.3 for each in told)


def test_a_score_has_the_protocol_of_its_evaluation_task(tmp_path: Path, monkeypatch):
    rows = [replace(ROW, protocol={"score": "per token", "matcher": "any_word"}), ROW]
    monkeypatch.setattr(published, "published_rows", lambda: tuple(rows))
    why = []
    for name, more in (("matched", {"matcher": "any_word"}), ("plain", {})):
        folders = [
            evaluation(tmp_path / f"{name}{n}", {"speech->text": credits(0.5, seed=n)}, more={"chance": {}} | more)
            for n in range(2)
        ]
        config = CompareEvaluationsConfig(evaluations=folders, published={"Cloze": "StoryCloze"})
        why.append([each.not_comparable for each in found(config)])
    assert why == [["", "matcher not told"], ["matcher was any_word, here none", ""]]


def test_an_error_rate_stands_beside_published_ones_of_its_kind(tmp_path: Path, monkeypatch):
    wer = replace(ROW, set="LibriSpeech", measure="WER", value=2.8, items=40)
    monkeypatch.setattr(published, "published_rows", lambda: (wer, replace(wer, measure="CER"), ROW))
    folders = [error_evaluation(tmp_path / name, [0, 1] * 20) for name in "ab"]
    config = CompareEvaluationsConfig(
        evaluations=folders, published={"clean": "LibriSpeech"}, bottom_line=error_evaluation(tmp_path / "c", [2] * 40)
    )
    given = {(each.kind, each.rate): each for each in found(config)}
    assert set(given) == {("bottom line", "wer"), ("bottom line", "cer"), ("published", "wer"), ("published", "cer")}
    assert given["bottom line", "wer"].score.value == 0.2 and given["published", "cer"].published == 2.8
    assert given["published", "wer"].not_comparable == ""


def test_what_is_published_of_nothing_is_refused(config: CompareEvaluationsConfig):
    with pytest.raises(ValueError, match=r"published\.Stories: no task of the evaluations; they have Cloze"):
        found(replace(config, published={"Stories": "StoryCloze"}))
    with pytest.raises(ValueError, match=r"published\.Cloze=storycloze: .*; did you mean 'StoryCloze'\?"):
        found(replace(config, published={"Cloze": "storycloze"}))


def test_the_shipped_rows_have_sources_and_the_known_means_of_three_sets():
    rows = published_rows()
    assert len(rows) == len({(row.set, row.pair, row.model, row.source) for row in rows}) > 60
    assert all(row.source and 0 < row.value <= 100 and row.pair.count("->") == 1 for row in rows)
    assert {row.measure for row in rows} == {"accuracy", "WER", "CER"}
    sets = ("Web Questions", "Llama Questions", "TriviaQA")
    paper = [row for row in rows if row.source.startswith("arXiv 2412.02612") and row.set in sets]
    for model, pair, mean in (
        ("SpeechGPT 7B", "speech->text", 14.30),
        ("Moshi 7B", "speech->text", 37.23),
        ("Moshi 7B", "speech->speech", 12.50),
        ("GLM-4-Voice 9B", "speech->text", 45.33),
        ("GLM-4-Voice 9B", "speech->speech", 31.03),
    ):
        own = [row.value for row in paper if (row.model, row.pair) == (model, pair)]
        assert len(own) == 3 and mean_of_sets(own) == mean


def test_no_likelihood_score_is_said_to_be_comparable_since_none_tells_how_it_was_scored():
    rows = [row for name in ("StoryCloze", "Topic-StoryCloze") for row in rows_of(name, key="published.x")]
    assert rows and all("score" in incomparable(row, {"score": "per_token"}, 1871) for row in rows)
    assert references.WRITTEN in {row.pair for row in rows}
