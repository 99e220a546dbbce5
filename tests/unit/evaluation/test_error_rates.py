"""Recognition and synthesis by a model that learnt most lines by heart: every line counts, whatever became of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from megatron_speech.config.stages.evaluate import EvaluateConfig
from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.harness import evaluate, run_task
from megatron_speech.evaluation.score_table import RATES, score_table
from megatron_speech.evaluation.tasks.error_rates import line_records, rates_by_set
from megatron_speech.evaluation.tasks.interface import Written
from megatron_speech.evaluation.tasks.recognition import RecognitionTask
from megatron_speech.evaluation.tasks.synthesis import SynthesisTask
from megatron_speech.inference.model import LanguageModel
from megatron_speech.metrics.aggregates import mean_of_utterance_rates
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.sequences.speech_tasks import recognition_prompt, synthesis_prompt
from tests.toy_recordings import letters_spoken, say_codes, taught
from tests.toys import write_model

BOOTSTRAP = Bootstrap(resamples=200)
SAID = {"1-1-0001": "THE CAT SAT", "1-1-0002": "A DOG", "1-1-0003": "IT RAINED ALL NIGHT", "1-1-0004": "GOOD"}
ANSWERED = {**SAID, "1-1-0002": "A FROG", "1-1-0004": ""}
"""What the model writes and says."""


def write_set(folder: Path) -> Path:
    for number, name in enumerate(SAID):
        say_codes(folder / "1" / "1" / f"{name}.flac", number)
    lines = "".join(f"{name} {text}\n" for name, text in SAID.items())
    (folder / "1" / "1" / "1-1.trans.txt").write_text(lines)
    return folder


def recognition(folder: Path, **settings: object) -> RecognitionTask:
    sets = {"clean": DataSetConfig(layout="librispeech", folder=folder)}
    return RecognitionTask(
        **{"sets": sets, "speech_tokenizer": folder / "tokenizer", "max_text_tokens": 24, **settings}
    )


def synthesis(folder: Path, **settings: object) -> SynthesisTask:
    sets = {"clean": DataSetConfig(layout="librispeech", folder=folder)}
    given = {"sets": sets, "speech_tokenizer": folder / "tokenizer", "max_speech_tokens": 60, "temperature": 0.0}
    return SynthesisTask(**{**given, **settings})


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def learnt() -> dict[str, LanguageModel]:
    return {}


@pytest.fixture
def knowing(
    learnt: dict[str, LanguageModel], recordings: Path, model: LanguageModel, tokenizer: object
) -> LanguageModel:
    """A model that learnt `ANSWERED` in both tasks, once."""
    if not learnt:
        vocabulary, examples = model.vocabulary, []
        for line in recognition(recordings).items(vocabulary):
            answer = ANSWERED[line.id]
            text = [*answer.encode(), vocabulary.end_of_document]
            speech = (letters_spoken(answer) + vocabulary.first_speech_id).tolist()
            examples.append((recognition_prompt(line.spoken.codes, vocabulary=vocabulary).tolist(), text))
            prompt = synthesis_prompt(list(line.spoken.text.encode()), vocabulary=vocabulary).tolist()
            examples.append((prompt, [*speech, vocabulary.special_id("<|end_of_audio|>")]))
        learnt["it"] = taught(model, examples)
    return learnt["it"]


@pytest.mark.parametrize("make", [recognition, synthesis])
def test_errors_are_those_of_all_lines(recordings, knowing, make):
    task = make(recordings)
    results, records = run_task(knowing, task, task.items(knowing.vocabulary), BOOTSTRAP, name=make.__name__)
    assert {record["item"]: record["answer"] for record in records} == ANSWERED
    assert [(record["word_edits"], record["words"]) for record in records] == [(0, 3), (1, 2), (0, 4), (1, 1)]
    found = results["clean"]
    assert found["wer"]["value"] == 0.2 and found["wer"]["items"] == 4
    assert found["wer_of_lines"]["value"] == mean_of_utterance_rates([0, 1, 0, 1], [3, 2, 4, 1]) == 0.375
    assert found["wrong"] == {"no answer": 1} and found["items"] == 4 and found["without_words"] == 0
    table = score_table({"model": "hf", make.__name__: results})
    assert table[-1] == RATES and "clean wer_of_lines" in table[2]


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize(("make", "settings"), [(recognition, {}), (synthesis, {"temperature": 0.8})])
def test_batch_size_and_order_of_items_change_no_record(recordings, knowing, make, settings, batch_size):
    task = make(recordings, **settings)
    items = task.items(knowing.vocabulary)
    _, expected = run_task(knowing, task, items, BOOTSTRAP, name="rates")
    for order in (items, items[::-1]):
        _, records = run_task(knowing, replace(task, batch_size=batch_size), order, BOOTSTRAP, name="rates")
        assert sorted(map(json.dumps, records)) == sorted(map(json.dumps, expected))
    assert task.protocol(items) == replace(task, batch_size=batch_size).protocol(items)


def test_all_words_of_a_damaged_recording_are_errors(tmp_path, model, tokenizer):
    folder = write_set(tmp_path)
    (folder / "1" / "1" / "1-1-0001.flac").write_bytes(b"")
    (folder / "1" / "1" / "1-1-0003.flac").write_bytes(b"RIFF")
    task = recognition(folder, max_text_tokens=2048)
    results, records = run_task(model, task, task.items(model.vocabulary), BOOTSTRAP, name="recognition")
    reasons = {record["item"][-1]: record["reason"] for record in records}
    assert reasons["1"] == "empty" and reasons["2"] == reasons["4"] == "too long" and reasons["3"]
    assert [record["word_edits"] for record in records] == [record["words"] for record in records] == [3, 2, 4, 1]
    assert results["clean"]["wer"]["value"] == 1 and sum(results["clean"]["wrong"].values()) == 4


def records_of(pairs: Sequence[tuple[str, str]], recordings: Path, model: LanguageModel, language: str) -> list:
    first = recognition(recordings).items(model.vocabulary)[0]
    lines = [replace(first, id=str(n), spoken=replace(first.spoken, text=text)) for n, (text, _) in enumerate(pairs)]
    answers = ((Written(tokens=(1,), reason="stop"), answer, {}) for _, answer in pairs)
    return line_records(lines, answers, pair="speech->text", language=language)


def test_chinese_is_counted_in_characters_after_its_own_normaliser(recordings, model, tokenizer):
    records = records_of(
        [("他买了50本书。", "他买了五十本书"), ("你好", "你"), ("再见", "bye")], recordings, model, "zh"
    )
    results = rates_by_set(["clean"], records, BOOTSTRAP, language="zh")
    assert results["normalizer"] == "chinese" and results["clean"].keys().isdisjoint({"wer", "wer_of_lines"})
    assert [record["character_edits"] for record in records] == [0, 1, 3]
    assert [record["reason"] for record in records] == [None, None, "other script"]


def test_lines_without_a_word_have_no_rate_and_are_counted(recordings, model, tokenizer):
    records = records_of([("...", "noise"), ("One.", "1")], recordings, model, "en")
    results = rates_by_set(["clean"], records, BOOTSTRAP, language="en")
    assert results["clean"]["without_words"] == 1 and results["clean"]["items"] == 2
    assert results["clean"]["wer"] == {"value": 0.0, "low": 0.0, "high": 0.0, "items": 1}


def test_the_stage_writes_both_tasks(tmp_path, vocabulary, tokenizer):
    folder = write_set(tmp_path / "set")
    (tmp_path / "tokenizer").write_text("stands for a folder")
    sets = {"clean": {"layout": "librispeech", "folder": str(folder)}}
    common = {"sets": sets, "speech_tokenizer": str(tmp_path / "tokenizer")}
    tasks = {"recognition": {**common, "max_text_tokens": 4}, "synthesis": {**common, "max_speech_tokens": 4}}
    model = write_model(tmp_path / "hf", vocabulary)
    config = EvaluateConfig(model=model, output=tmp_path / "result", tasks=tasks, resamples=200)
    evaluate(config)
    lines = [json.loads(line) for line in (config.output / "items.jsonl").read_text().splitlines()]
    assert [line["pair"] for line in lines] == [*["speech->text"] * 4, *["text->speech"] * 4]
    protocols = json.loads((config.output / "protocol.json").read_text())
    assert protocols["recognition"]["normalizer"] == protocols["synthesis"]["normalizer"] == "english"
    assert protocols["synthesis"]["recognizer"] == "of the speech tokenizer tokenizer-a"
    assert protocols["synthesis"]["decoding"] == "speech: temperature 0.8, top_p 0.95, at most 4 tokens, seed 0"


def test_texts_to_say_are_said(tmp_path, knowing, tokenizer):
    (tmp_path / "meta.lst").write_text("a|Hello.|a.wav|THE CAT SAT\nb|Hello.|b.wav|A DOG\n")
    task = synthesis(tmp_path, sets={"seed": DataSetConfig(layout="seed_tts_eval", folder=tmp_path)})
    results, records = run_task(knowing, task, task.items(knowing.vocabulary), BOOTSTRAP, name="synthesis")
    assert [record["answer"] for record in records] == ["THE CAT SAT", "A FROG"]
    assert "subsets" not in results["seed"], "one list is no part of the set"
    (tmp_path / "hard.lst").write_text("c|Hello.|c.wav|IT RAINED ALL NIGHT\n")
    results, _ = run_task(knowing, task, task.items(knowing.vocabulary), BOOTSTRAP, name="synthesis")
    assert {name: rates["wer"]["value"] for name, rates in results["seed"]["subsets"].items()} == {
        "hard": 0,
        "meta": 0.2,
    }
    with pytest.raises(ValueError, match=r"tasks\.recognition\.sets\.seed: item 'hard/c' is no recording to recognise"):
        recognition(tmp_path, sets=task.sets).items(knowing.vocabulary)


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        (recognition, {"language": "de"}, r"tasks\.recognition\.language=de is unknown; the languages are en, zh"),
        (recognition, {"batch_size": 0}, r"tasks\.recognition\.batch_size=0 must be at least 1"),
        (synthesis, {"top_p": 2.0}, r"tasks\.synthesis\.top_p=2\.0 must lie in \(0, 1\]"),
        (synthesis, {"max_speech_tokens": 201}, r"tasks\.synthesis\.max_speech_tokens=201 exceeds the 200 codes"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(recordings, model, tokenizer, make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(recordings, **settings).items(model.vocabulary)
