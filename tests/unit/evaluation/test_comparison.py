"""Evaluations are compared item by item; unequal protocols and other items are refused with what differs."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from megatron_speech.artifacts.facts.evaluation import EvaluationResults
from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.commands.main import run
from megatron_speech.commands.table import COMMANDS
from megatron_speech.config.inspection.compare_evaluations import CompareEvaluationsConfig
from megatron_speech.evaluation.comparison import figure
from megatron_speech.evaluation.comparison.compare import compare_evaluations
from megatron_speech.evaluation.comparison.scores import compared_scores
from megatron_speech.evaluation.comparison.table import names_of
from megatron_speech.evaluation.protocol import code_version, differences, protocol_record
from megatron_speech.evaluation.tasks import cloze, likelihood
from megatron_speech.evaluation.tasks.cloze import ClozeTask
from megatron_speech.evaluation.tasks.interface import ScoringProtocol
from megatron_speech.metrics.intervals import mcnemar, mean_interval, paired_difference
from megatron_speech.reports.plots import save_figure
from tests.toy_evaluations import credits, evaluation


def test_scores_differences_and_tests_are_those_of_the_paired_items(tmp_path: Path):
    values = {
        name: credits(share, seed=seed) for seed, (name, share) in enumerate([("a", 0.6), ("b", 0.8), ("c", 0.6)])
    }
    folders = [evaluation(tmp_path / name, {"text->text": each}) for name, each in values.items()]
    (score,) = compared_scores(CompareEvaluationsConfig(evaluations=folders))
    assert (score.task, score.pair, score.items, score.chance) == ("Cloze", "text->text", 200, 0.5)
    order = sorted(range(200), key=lambda number: f"i{number}")
    a, b, c = ([each[number] for number in order] for each in values.values())
    assert score.scores == [mean_interval(each, resamples=10_000).rounded() for each in (a, b, c)]
    assert score.differences == [paired_difference(a, each, resamples=10_000).rounded() for each in (b, c)]
    assert score.p == [round(mcnemar(a, each), 6) for each in (b, c)] and score.p[0] < 0.001
    lines = list(compare_evaluations(CompareEvaluationsConfig(evaluations=folders)))
    head = "task pair items chance a b c b - a p c - a p"
    assert lines[0].split() == head.split(" ") and len(lines) == 2
    assert f"{100 * sum(b) / 200:.1f} (" in lines[1] and "50.0" in lines[1]


def test_an_evaluation_does_not_differ_from_itself(tmp_path: Path):
    folder = evaluation(tmp_path / "a", {"text->text": credits(0.5, seed=1)})
    (score,) = compared_scores(CompareEvaluationsConfig(evaluations=[folder, folder]))
    difference = score.differences[0]
    assert (difference.value, difference.low, difference.high, score.p) == (0, 0, 0, [1.0])


def test_readings_of_an_item_are_one_item(tmp_path: Path):
    values = credits(0.5, seed=1)
    folders = [evaluation(tmp_path / str(n), {"x": values}, readings=n) for n in (1, 3)]
    (score,) = compared_scores(CompareEvaluationsConfig(evaluations=folders))
    assert score.items == 200 and score.scores[0] == score.scores[1]


def test_shared_credits_have_no_exact_test(tmp_path: Path):
    folders = [evaluation(tmp_path / name, {"x": [1.0, 0.5, 0.0] * 20}) for name in "ab"]
    (score,) = compared_scores(CompareEvaluationsConfig(evaluations=folders))
    assert score.p == [None]
    assert list(compare_evaluations(CompareEvaluationsConfig(evaluations=folders)))[1].endswith("-")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"score": "in sum"}, "cloze.score: per token -> in sum"),
        ({"data": {"d": "8"}}, "cloze.data.d: 9 -> 8"),
        ({"matcher": "inclusion"}, "cloze.matcher: None -> inclusion"),
        ({"code": "d"}, "cloze.code: c -> d"),
    ],
)
def test_unequal_protocols_are_refused_with_what_differs(tmp_path: Path, more: dict, told: str):
    first = evaluation(tmp_path / "a", {"x": [1.0, 0.0]})
    second = evaluation(tmp_path / "b", {"x": [1.0, 0.0]}, more=more | {"id": "2"})
    with pytest.raises(ValueError) as raised:
        compared_scores(CompareEvaluationsConfig(evaluations=[first, second]))
    (key,) = more
    assert told in str(raised.value) and f"accept: [{key}]" in str(raised.value) and "\n" not in str(raised.value)
    assert compared_scores(CompareEvaluationsConfig(evaluations=[first, second], accept=[key]))


def test_all_that_differs_is_listed(tmp_path: Path):
    first = evaluation(tmp_path / "a", {"x": [1.0]})
    second = evaluation(tmp_path / "b", {"x": [1.0]}, more={"score": "s", "template": "u"})
    with pytest.raises(ValueError, match=r"cloze\.score: .*, cloze\.template: .*accept: \[score, template\]"):
        compared_scores(CompareEvaluationsConfig(evaluations=[first, second]))


def test_what_cannot_be_compared_is_refused(tmp_path: Path):
    first = evaluation(tmp_path / "a", {"x": [1.0, 0.0]})
    fewer = evaluation(tmp_path / "b", {"x": [1.0]})
    other = evaluation(tmp_path / "c", {"y": [1.0]})
    old = evaluation(tmp_path / "d", {"x": [1.0, 0.0]})
    (old / "protocol.json").unlink()
    with make_artifact(tmp_path / "e", kind="codes", config={}) as draft:
        draft.facts = EvaluationResults(by_task={})
    for second, message in (
        (fewer, r"1 items of Cloze x are in one of them only, such as 'i1'"),
        (other, "no task with items is in all of them"),
        (old, "holds no protocol.json: it is of an older version"),
        (tmp_path / "e", "is of kind codes"),
    ):
        with pytest.raises(ValueError, match=message):
            compared_scores(CompareEvaluationsConfig(evaluations=[first, second]))
    with pytest.raises(ValueError, match="at least two are compared"):
        CompareEvaluationsConfig(evaluations=[first])
    with pytest.raises(ValueError, match="accept=speed is no entry of a protocol"):
        CompareEvaluationsConfig(evaluations=[first, first], accept=["speed"])


def test_the_command_takes_folders_as_words(tmp_path: Path, capsys, monkeypatch):
    first, second = (evaluation(tmp_path / name, {"x": credits(0.5, seed=1)}) for name in "ab")
    monkeypatch.setattr(sys, "argv", ["compare_evaluations"])
    run(COMMANDS["compare_evaluations"], [str(first), str(second)])
    assert capsys.readouterr().out.splitlines()[1].startswith("Cloze  x     200    50.0")
    run(COMMANDS["compare_evaluations"], [str(first), str(second), "--json", "--accept", "code"])
    assert json.loads(capsys.readouterr().out)["scores"][0]["items"] == 200
    with pytest.raises(SystemExit) as left:
        run(COMMANDS["compare_evaluations"], [str(first)])
    assert left.value.code == 2


def test_items_that_training_data_have_are_left_out_as_well(tmp_path: Path):
    folders = [evaluation(tmp_path / name, {"x": [1.0, 1.0, 0.0, 0.0], "y": [1.0]}) for name in "ab"]
    with make_artifact(tmp_path / "leaks", kind="contamination", config={}) as draft:
        (draft.folder / "leaks.jsonl").write_text('{"data_set": "c", "item": "i0"}\n{"data_set": "c", "item": "i9"}\n')
        draft.facts = EvaluationResults(by_task={})
    config = CompareEvaluationsConfig(evaluations=folders, leaks=tmp_path / "leaks")
    lines = list(compare_evaluations(config))
    assert lines[3] == "\nwithout 2 items that training data have:"
    assert lines[1].split()[:5] == ["Cloze", "x", "4", "50.0", "50.0"]
    assert lines[5].split()[:5] == ["Cloze", "x", "3", "50.0", "33.3"] and lines[6:] == ["Cloze y: no item is left"]
    with pytest.raises(ValueError, match=r"leaks=.*: is of kind evaluation"):
        list(compare_evaluations(replace(config, leaks=folders[0])))


def test_the_figure_has_an_interval_for_every_difference(tmp_path: Path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figure, "save_figure", lambda chart, path: (drawn.append(chart), save_figure(chart, path)))
    folders = [
        evaluation(tmp_path / name, {"x": credits(share, seed=1), "y": credits(share, seed=2)})
        for name, share in (("a", 0.5), ("b", 0.7), ("c", 0.4))
    ]
    config = CompareEvaluationsConfig(evaluations=folders, figure=tmp_path / "figures" / "differences.png")
    for _ in range(2):
        list(compare_evaluations(config))
    assert [each.name for each in config.figure.parent.iterdir()] == ["differences.png"]
    (panel,) = drawn[0].axes
    lines = {tuple(float(x) for x in line.get_xdata()) for line in panel.lines}
    told = [difference for score in compared_scores(config) for difference in score.differences]
    assert len(told) == 4 and all((100 * each.low, 100 * each.high) in lines for each in told)
    assert [label.get_text() for label in panel.get_yticklabels()] == ["Cloze x (200)", "Cloze y (200)"]


def test_names_are_the_shortest_that_differ():
    assert names_of([Path("runs/a/evaluation"), Path("runs/b/evaluation")]) == ["a/evaluation", "b/evaluation"]
    assert names_of([Path("a"), Path("a")]) == ["a", "a"]


def test_an_id_stands_for_data_score_and_code_wherever_the_data_lie(tmp_path: Path):
    protocol = ScoringProtocol(template="t", score="s")
    records = []
    for place, text in (("x", "one"), ("y", "one"), ("z", "two")):
        (tmp_path / place).mkdir()
        data = tmp_path / place / "items.jsonl"
        data.write_text(text)
        records.append(protocol_record(protocol, inputs=[data], dtype="float32", task=ClozeTask))
    assert records[0] == records[1] and records[0]["id"] != records[2]["id"]
    assert [*differences(records[0], records[2])] == ["data"]
    other = protocol_record(
        ScoringProtocol(template="t", score="other"),
        inputs=[tmp_path / "x" / "items.jsonl"],
        dtype="float32",
        task=ClozeTask,
    )
    assert other["id"] != records[0]["id"] and [*differences(records[0], other)] == ["score"]


def test_comments_and_docstrings_are_no_other_code(tmp_path: Path, monkeypatch):
    before = code_version([cloze])
    assert before == code_version([cloze]) != code_version([likelihood])
    source = Path(cloze.__file__).read_text()
    changes = {
        source.replace('"""Cloze tasks', '"""Some cloze tasks', 1) + "# the end\n": True,
        source.replace('per="token"', 'per="continuation"'): False,
    }
    for text, same in changes.items():
        assert text != source
        monkeypatch.setattr("inspect.getsource", lambda module, text=text: text)
        assert (code_version([cloze]) == before) is same
