"""Evaluations are compared item by item; unequal protocols and other items are refused with what differs."""

from __future__ import annotations

import json
import math
import random
import shutil
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
from megatron_speech.evaluation.protocol import code_version, differences, protocol_record, scoring_modules
from megatron_speech.evaluation.tasks import cloze, likelihood
from megatron_speech.evaluation.tasks.cloze import ClozeTask
from megatron_speech.evaluation.tasks.interface import ScoringProtocol
from megatron_speech.evaluation.tasks.questions import task as questions
from megatron_speech.metrics.intervals import mcnemar, mean_interval, paired_difference
from megatron_speech.reports.plots import save_figure
from tests.toy_evaluations import PROTOCOL, credits, error_evaluation, evaluation, write_evaluation


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


def test_error_rates_are_compared_line_by_line(tmp_path: Path):
    drawn = random.Random(0)
    words = [drawn.randint(1, 20) for _ in range(300)]
    hard = [drawn.random() for _ in words]  # what is hard is so for both
    texts = list(zip(hard, words, strict=True))
    old, new = ([sum(drawn.random() < share * bad for _ in range(size)) for bad, size in texts] for share in (0.5, 0.4))
    folders = [error_evaluation(tmp_path / name, edits, words) for name, edits in (("a", old), ("b", new))]
    config = CompareEvaluationsConfig(evaluations=folders)
    wer, cer = compared_scores(config)
    assert wer.measure == ("recognition", "clean", "speech->text", "wer") and wer.items == 300
    assert wer.chance is None and wer.p == cer.p == [None] and cer.rate == "cer"
    rates = [sum(edits) / sum(words) for edits in (old, new)]
    assert [score.value for score in wer.scores] == pytest.approx(rates, abs=1e-6)
    (difference,) = wer.differences
    assert difference.value == pytest.approx(rates[1] - rates[0], abs=2e-6)
    width, apart = difference.high - difference.low, [score.high - score.low for score in wer.scores]
    assert difference.high < 0 and width < 0.9 * math.hypot(*apart), "pairing takes out what is hard for both"
    lines = list(compare_evaluations(config))
    assert lines[1].split()[:5] == ["clean", "speech->text", "wer", "300", "-"] and lines[1].endswith("-")
    assert lines[2].split()[2] == "cer" and lines[3:] == ["wer, cer: lower is better"]


def test_error_rates_of_other_texts_are_refused(tmp_path: Path):
    folders = [error_evaluation(tmp_path / str(size), [1, 1], [9, size]) for size in (8, 9)]
    with pytest.raises(
        ValueError, match=r"1 items of clean speech->text wer have texts of other lengths, such as 'i1'"
    ):
        compared_scores(CompareEvaluationsConfig(evaluations=folders))


def test_sets_of_one_name_in_two_tasks_have_rows_of_their_own(tmp_path: Path):
    credits = {"choices": [1.0, 1.0, 1.0, 0.0], "questions": [0.0, 1.0, 0.0, 0.0]}
    lines = [
        {"evaluation_task": task, "task": "animals", "pair": "text->text", "item": f"i{number}", "credit": credit}
        for task, values in credits.items()
        for number, credit in enumerate(values)
    ]
    protocols = {"choices": PROTOCOL | {"chance": {"animals": 0.5}}, "questions": PROTOCOL | {"chance": {}}}
    folders = [write_evaluation(tmp_path / name, lines, protocols) for name in "ab"]
    config = CompareEvaluationsConfig(evaluations=folders)
    choices, questions = compared_scores(config)
    assert (choices.evaluation_task, choices.scores[0].value, choices.chance) == ("choices", 0.75, 0.5)
    assert (questions.evaluation_task, questions.scores[0].value, questions.chance) == ("questions", 0.25, None)
    rows = [line.split()[:4] for line in compare_evaluations(config)]
    assert rows[1:] == [["choices.animals", "text->text", "4", "50.0"], ["questions.animals", "text->text", "4", "-"]]
    with pytest.raises(
        ValueError, match=r"published\.animals: no task .*; they have choices\.animals, questions\.animals"
    ):
        list(compare_evaluations(replace(config, published={"animals": "StoryCloze"})))


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
    nameless = write_evaluation(tmp_path / "f", [{"task": "Cloze", "pair": "x", "item": "i0", "credit": 1.0}], {})
    with make_artifact(tmp_path / "e", kind="codes", config={}) as draft:
        draft.facts = EvaluationResults(by_task={})
    for second, message in (
        (fewer, r"1 items of Cloze x are in one of them only, such as 'i1'"),
        (other, "no task with items is in all of them"),
        (old, "holds no protocol.json: it is of an older version"),
        (
            nameless,
            "has lines in items.jsonl without evaluation_task: it is of an older version; evaluate the model again",
        ),
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
        (draft.folder / "leaks.jsonl").write_text(
            '{"data_set": "Cloze", "item": "i0"}\n{"data_set": "cloze", "item": "i9"}\n'
        )
        draft.facts = EvaluationResults(by_task={})
    config = CompareEvaluationsConfig(evaluations=folders, leaks=tmp_path / "leaks")
    lines = list(compare_evaluations(config))
    assert lines[3] == "\nwithout 2 items that training data have:"
    assert lines[1].split()[:5] == ["Cloze", "x", "4", "50.0", "50.0"]
    assert lines[5].split()[:5] == ["Cloze", "x", "3", "50.0", "33.3"] and lines[6:] == ["Cloze y: no item is left"]
    with pytest.raises(ValueError, match=r"leaks=.*: is of kind evaluation"):
        list(compare_evaluations(replace(config, leaks=folders[0])))


def test_an_item_that_leaked_is_left_out_of_its_own_data_set_alone(tmp_path: Path):
    lines = [
        {"evaluation_task": "questions", "task": name, "pair": "text->text", "item": f"{number}", "credit": number % 2}
        for name in ("llama", "web")
        for number in range(10)
    ]
    folders = [write_evaluation(tmp_path / name, lines, {"questions": PROTOCOL | {"chance": {}}}) for name in "ab"]
    config = CompareEvaluationsConfig(evaluations=folders, leaks=tmp_path / "leaks")

    def leaked(*found: tuple[str, str]) -> None:
        shutil.rmtree(tmp_path / "leaks", ignore_errors=True)
        with make_artifact(tmp_path / "leaks", kind="contamination", config={}) as draft:
            told = (json.dumps({"data_set": name, "item": item}) + "\n" for name, item in found)
            (draft.folder / "leaks.jsonl").write_text("".join(told))
            draft.facts = EvaluationResults(by_task={})

    leaked(("web", "1"), ("other", "2"))
    *_, llama, web, stranger = compare_evaluations(config)
    assert llama.split()[:3] == ["llama", "text->text", "10"] and web.split()[:3] == ["web", "text->text", "9"]
    assert stranger == "other: no task of the evaluations, so its found items are in none"
    leaked(("other", "2"))
    with pytest.raises(ValueError, match=r"none of its data sets \(other\) is a task of the evaluations \(llama, que"):
        list(compare_evaluations(config))


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


def test_files_of_one_name_are_all_in_the_protocol(tmp_path: Path):
    files = [tmp_path / name / "documents.jsonl" for name in ("wiki", "speech")]
    ids = []
    for texts in (("one", "same"), ("two", "same"), ("one", "other")):
        for file, text in zip(files, texts, strict=True):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        protocol = ScoringProtocol(template="t", score="s")
        ids.append(protocol_record(protocol, inputs=[*files, files[0]], dtype="float32", task=ClozeTask)["id"])
    assert len({*ids}) == 3


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


def test_the_code_of_a_task_is_all_that_lays_out_and_scores_its_questions():
    names = {module.__name__.removeprefix("megatron_speech.") for module in scoring_modules(questions)}
    assert {
        *("evaluation.tasks.questions.task", "evaluation.tasks.questions.answers", "evaluation.tasks.questions.ways"),
        *("evaluation.tasks.generation", "evaluation.tasks.hearing", "evaluation.tasks.settings"),
        *("evaluation.scripts", "metrics.answer_matching", "metrics.number_words", "sequences.speech_tasks"),
    } <= names
    assert not any(name.startswith(("evaluation.tasks.cloze", "evaluation.data_sets", "inference")) for name in names)
    assert not {"metrics.bootstrap", "metrics.intervals"} & names, "an interval is computed anew"
    likelihoods = {module.__name__ for module in scoring_modules(cloze)}
    assert "megatron_speech.evaluation.tasks.likelihood" in likelihoods
    assert "megatron_speech.metrics.answer_matching" not in likelihoods
