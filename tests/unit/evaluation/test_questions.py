"""Questions answered by a model that has learnt the answers; what it cannot answer counts as wrong, with a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from megatron_speech.config.inspection.compare_evaluations import CompareEvaluationsConfig
from megatron_speech.config.stages.evaluate import EvaluateConfig
from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.comparison.scores import compared_scores
from megatron_speech.evaluation.harness import evaluate, run_task
from megatron_speech.evaluation.score_table import score_table
from megatron_speech.evaluation.scripts import ids_of_language, in_other_script
from megatron_speech.evaluation.tasks.likelihood import SpokenText
from megatron_speech.evaluation.tasks.questions.answers import cut
from megatron_speech.evaluation.tasks.questions.scores import accuracies, credit_of_answer
from megatron_speech.evaluation.tasks.questions.task import QuestionsTask
from megatron_speech.evaluation.tasks.questions.ways import Way, question_prompt
from megatron_speech.inference.model import LanguageModel
from megatron_speech.metrics.answer_matching import MATCHERS
from megatron_speech.metrics.bootstrap import Bootstrap
from tests.toy_recordings import letters_spoken, say, taught, write_questions
from tests.toys import write_jsonl, write_model

BOOTSTRAP = Bootstrap(resamples=200)
SAID = {"France": "Paris", "Peru": "Lima", "China": "北京", "Kenya": "", "Norway": "Oslo"}
"""What the model says."""
WAYS = ["text->text", "speech->text", "text->speech", "speech->speech"]


def task_of(folder: Path, **settings: object) -> QuestionsTask:
    sets = {"capitals": DataSetConfig(layout="audio_jsonl", folder=folder)}
    limits = {"max_text_tokens": 16, "max_speech_tokens": 20, "temperature": 0.0}
    return QuestionsTask(sets=sets, speech_tokenizer=folder / "tokenizer", **limits, **settings)


def taught_answers(model: LanguageModel, task: QuestionsTask) -> LanguageModel:
    """A model that learnt what it is to answer."""
    vocabulary = model.vocabulary
    examples = []
    for way in (way for way in task.ways if way.language is None):
        for item in task.items(vocabulary):
            said = SAID[item.id]
            prompt = question_prompt(model, item.question, way, before=task.before, after=task.after)
            answer = [*f" {said}\nMore.".encode(), vocabulary.end_of_document] if said else [vocabulary.end_of_document]
            if way.asked == "speech":
                codes = letters_spoken(said if said.isascii() else "[]") + vocabulary.first_speech_id
                answer = [*codes.tolist(), vocabulary.special_id("<|end_of_audio|>")]
            examples.append((prompt, answer))
    return taught(model, examples)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_questions(tmp_path_factory.mktemp("questions"))


@pytest.fixture(scope="module")
def learnt(recordings: Path, model: LanguageModel) -> dict[str, LanguageModel]:
    return {}


@pytest.fixture
def knowing(
    learnt: dict[str, LanguageModel], recordings: Path, model: LanguageModel, tokenizer: object
) -> LanguageModel:
    """A model that knows all answers in all ways; it learns once."""
    if not learnt:
        learnt["it"] = taught_answers(model, task_of(recordings, answers=("text", "speech")))
    return learnt["it"]


def test_known_answers_are_right_in_text_and_speech_and_others_are_wrong_with_a_reason(recordings, knowing):
    task = task_of(recordings, answers=("text", "speech"), restricted=True)
    results, records = run_task(knowing, task, task.items(knowing.vocabulary), BOOTSTRAP, name="questions")
    found = results["capitals"]
    assert found["items"] == 5 and len(records) == 6 * 5 and results["matcher"] == "words_in_order"
    by_way = {way: {r["item"]: r for r in records if r["pair"] == way} for way in {r["pair"] for r in records}}
    for way in WAYS:
        assert {item: record["credit"] for item, record in by_way[way].items()} == {
            **dict.fromkeys(("France", "Peru", "Norway"), 1.0),
            **dict.fromkeys(("China", "Kenya"), 0.0),
        }
        assert found[way]["words_in_order"] | {"low": 0, "high": 0} == {"value": 0.6, "low": 0, "high": 0, "items": 5}
    for way in WAYS[:2]:
        assert by_way[way]["China"]["answer"] == "北京" and by_way[way]["China"]["reason"] == "other script"
        assert found[way]["other_script"] == 0.2 and found[way]["wrong"] == {"no answer": 1, "other script": 1}
        assert by_way[way]["France"]["answer"] == "Paris" and by_way[way]["France"]["ended"]
        restricted = by_way[f"{way} restricted to en"]
        assert restricted["China"]["answer"].isascii() and restricted["China"]["reason"] != "other script"
        assert restricted["France"]["answer"] == "Paris" and found[f"{way} restricted to en"]["other_script"] == 0
    for way in WAYS[2:]:
        assert found[way]["wrong"] == {"no answer": 1} and by_way[way]["France"]["answer"] == "Paris"
    table = "\n".join(score_table({"model": "hf", "questions": results}))
    assert "capitals text->text words_in_order" in table and "text->text restricted to en exact_match" in table


@pytest.mark.parametrize("batch_size", [1, 2, 16])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_batch_size_and_order_of_items_change_no_answer(recordings, knowing, batch_size, temperature):
    task = replace(task_of(recordings, answers=("text", "speech")), temperature=temperature)
    items = task.items(knowing.vocabulary)
    _, expected = run_task(knowing, task, items, BOOTSTRAP, name="questions")
    for order in (items, items[::-1], [*items[2:], *items[:2]]):
        other = replace(task, batch_size=batch_size)
        _, records = run_task(knowing, other, order, BOOTSTRAP, name="questions")
        assert sorted(map(json.dumps, records)) == sorted(map(json.dumps, expected))
    assert task.protocol(items) == replace(task, batch_size=batch_size).protocol(items)


def test_every_matcher_is_computed_from_the_records_alone(recordings, knowing):
    task = task_of(recordings)
    results, records = run_task(knowing, task, task.items(knowing.vocabulary), BOOTSTRAP, name="questions")
    kept = [json.loads(json.dumps(record)) for record in records]
    for way in WAYS[:2]:
        for matcher in MATCHERS:
            credits = [credit_of_answer(record, matcher) for record in kept if record["pair"] == way]
            assert results["capitals"][way][matcher]["value"] == pytest.approx(np.mean(credits), abs=1e-6)


def test_damaged_recordings_and_questions_that_are_too_long_count_as_wrong(tmp_path, model, tokenizer):
    write_questions(tmp_path)
    (tmp_path / "France.wav").unlink()
    (tmp_path / "Peru.wav").write_bytes(b"")
    task = task_of(tmp_path, before="Answer. " * 260)  # 2,080 bytes, and the model has 2,048 positions
    results, records = run_task(model, task, task.items(model.vocabulary), BOOTSTRAP, name="questions")
    reasons = {way: [r["reason"] for r in records if r["pair"] == way] for way in WAYS[:2]}
    assert reasons["text->text"] == ["too long"] * 5
    assert reasons["speech->text"] == ["missing", "empty", *["too long"] * 3]
    assert all(record["credit"] == 0 for record in records) and results["capitals"]["items"] == 5
    assert results["capitals"]["speech->text"]["inclusion"]["items"] == 5
    assert results["capitals"]["speech->text"]["wrong"] == {"empty": 1, "missing": 1, "too long": 3}


def test_questions_without_accepted_answers_are_answered_and_counted_apart(tmp_path, model):
    lines = ({"id": f"q{n}", "text": f"Why {n}?", "metadata": {"answer": "so"}} for n in range(3))
    own = DataSetConfig(layout="own_items", folder=write_jsonl(tmp_path / "own.jsonl", *lines))
    task = QuestionsTask(sets={"own": own}, max_text_tokens=4)
    first, *others = task.items(model.vocabulary)
    items = [first, *(replace(item, answers=()) for item in others)]
    results, records = run_task(model, task, items, BOOTSTRAP, name="questions")
    assert [("answer" in record, "credit" in record) for record in records] == [(True, True), *[(True, False)] * 2]
    assert results["own"]["without_accepted"] == 2 and results["own"]["items"] == 3
    assert results["own"]["text->text"]["words_in_order"]["items"] == 1


def test_layouts_are_those_of_interleaved_training_with_text_around(model):
    begin, end, first = 257, 258, model.vocabulary.first_speech_id
    question = SpokenText("ab", np.array([1, 2]))
    speech = [begin, first + 1, first + 2]

    def prompt(given, asked, before="", after=""):
        return question_prompt(model, question, Way(given, asked), before=before, after=after)

    assert prompt("text", "text") == [*b"ab"] and prompt("text", "speech") == [*b"ab", begin]
    assert prompt("speech", "text") == [*speech, end] and prompt("speech", "speech") == speech
    assert prompt("text", "text", "Q:", "A:") == [*b"Q:abA:"]
    assert prompt("speech", "text", "Q:", "A:") == [*b"Q:", *speech, end, *b"A:"]
    assert prompt("speech", "speech", "Q:", "A:") == [*b"Q:", *speech, end, *b"A:", begin]
    assert prompt("speech", "speech", "Q:") == [*b"Q:", *speech]


def test_an_answer_ends_where_its_line_does():
    assert cut("\n Paris, of course.\nQuestion: ", ["\n"]) == "Paris, of course."
    assert cut("Paris, of course.", [",", "."]) == "Paris" and cut("Paris", []) == "Paris" and cut(" \n", ["\n"]) == ""


@pytest.mark.parametrize(
    ("text", "language", "other"),
    [
        *(("Paris", "en", False), ("巴黎", "en", True), ("Beyoncé", "en", False), ("Москва", "en", True)),
        *(("巴黎", "zh", False), ("Paris", "zh", True), ("DNA是一种分子", "zh", False), ("50", "zh", False)),
    ],
)
def test_the_script_of_an_answer_is_that_of_most_letters(text, language, other):
    assert in_other_script(text, language) is other


def test_ids_of_a_language_hold_no_letter_of_another(model):
    english = ids_of_language(model.tokenizer, model.vocabulary, "en")
    chinese = ids_of_language(model.tokenizer, model.vocabulary, "zh")
    assert english[ord("a")] and english[ord("7")] and english[256] and not english[0xE5] and not english[257:].any()
    assert chinese[0xE5] and chinese[ord("7")] and chinese[256] and not chinese[ord("a")] and not chinese[257:].any()


def test_an_evaluation_of_questions_can_be_compared(tmp_path, vocabulary, tokenizer):
    folder = write_questions(tmp_path / "set")
    (tmp_path / "tokenizer").write_text("stands for a folder")
    sets = {"capitals": {"layout": "audio_jsonl", "folder": str(folder)}}
    outputs = []
    for seed in (1, 2):
        model = write_model(tmp_path / f"hf{seed}", vocabulary, seed=seed)
        tasks = {"questions": {"sets": sets, "speech_tokenizer": str(tmp_path / "tokenizer"), "max_text_tokens": 4}}
        config = EvaluateConfig(model=model, output=tmp_path / f"result{seed}", tasks=tasks, resamples=200)
        evaluate(config)
        outputs.append(config.output)
    scores = compared_scores(CompareEvaluationsConfig(evaluations=outputs))
    assert [(score.pair, score.items) for score in scores] == [("text->text", 5), ("speech->text", 5)]
    protocol = json.loads((outputs[0] / "protocol.json").read_text())["questions"]
    assert protocol["matcher"] == "words_in_order" and "recognizer" not in protocol
    assert protocol["decoding"] == "text: greedy, at most 4 tokens, until ['\\n']"
    tasks["questions"]["matcher"] = "inclusion"
    evaluate(replace(config, output=tmp_path / "other", tasks=tasks))
    with pytest.raises(ValueError, match=r"different protocols \(questions\.matcher: words_in_order -> inclusion\)"):
        compared_scores(CompareEvaluationsConfig(evaluations=[outputs[1], tmp_path / "other"]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"matcher": "exact"}, r"tasks\.questions\.matcher=exact is unknown; the matchers are every_word,"),
        ({"language": "de"}, r"tasks\.questions\.language=de is unknown; the languages are en, zh"),
        ({"answers": ()}, r"tasks\.questions\.answers=\[\] must name text, speech or thoughts once"),
        ({"until": ("",)}, r"tasks\.questions\.until=\[''\] holds an empty text"),
        ({"max_text_tokens": 0}, r"tasks\.questions\.max_text_tokens=0 must be at least 1"),
        ({"temperature": -1.0}, r"tasks\.questions\.temperature=-1\.0 must not be negative"),
        ({"speech_tokenizer": None}, r"capitals has recordings; name tasks\.questions\.speech_tokenizer"),
        ({"answers": ("speech",), "max_speech_tokens": 300}, r"max_speech_tokens=300 exceeds the 200 codes"),
        (
            {"answers": ("speech",), "speech_tokenizer": None},
            r"tasks\.questions: generated speech is read by a recogniser; name tasks\.questions\.speech_tokenizer",
        ),
    ],
)
def test_settings_that_cannot_be_met_are_refused(recordings, model, tokenizer, settings, message):
    with pytest.raises(ValueError, match=message):
        replace(task_of(recordings), **settings).items(model.vocabulary)


def test_other_kinds_of_items_are_refused(tmp_path, model, tokenizer):
    for word in ("correct", "incorrect"):
        say(tmp_path / f"1_{word}.wav", 1)
    task = replace(task_of(tmp_path), sets={"pairs": DataSetConfig(layout="wav_pairs", folder=tmp_path)})
    with pytest.raises(ValueError, match=r"tasks\.questions\.sets\.pairs: item '1' is no question; name another"):
        task.items(model.vocabulary)


def test_letters_are_judged_by_the_option_that_an_answer_names_and_none_is_guessed():
    said = ["It is a hard one: option B.", "A", "Option a or option b", "option A", ""]
    reasons = [None] * 4 + ["no answer"]
    records = [
        {"answer": answer, "accepted": ["A"], "reason": reason, "credit": 0.0, "subset": ""}
        for answer, reason in zip(said, reasons, strict=True)
    ]
    found = accuracies(records, Bootstrap(resamples=100))
    assert found["option"]["value"] == 0.2 and found["option"]["items"] == 5
    assert found["inclusion"]["value"] == 0.8, "an article is a letter, too"
    words = [record | {"accepted": ["Paris"]} for record in records]
    assert found.keys() - accuracies(words, Bootstrap(resamples=100)).keys() == {"option"}
