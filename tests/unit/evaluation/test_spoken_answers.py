"""Answers that are written and spoken at once, and spoken ones that two recognisers read: each is judged for itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from megatron_speech.config.stages.evaluate import EvaluateConfig
from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.harness import run_task
from megatron_speech.evaluation.score_table import OPINION, score_table
from megatron_speech.evaluation.tasks.interface import Record, Written
from megatron_speech.evaluation.tasks.questions.task import QuestionsTask
from megatron_speech.evaluation.tasks.questions.ways import question_prompt
from megatron_speech.evaluation.tasks.settings import SoundSettings
from megatron_speech.evaluation.tasks.synthesis import SynthesisTask
from megatron_speech.evaluation.tasks.table import asked_tasks
from megatron_speech.inference.model import LanguageModel
from megatron_speech.metrics.bootstrap import Bootstrap
from megatron_speech.sequences.streaming_thoughts import StreamingThoughts
from tests.toy_recordings import LevelDecoder, LevelWhisper, letters_spoken, taught, write_questions

BOOTSTRAP = Bootstrap(resamples=200)
WRITTEN = {"France": "Paris.", "Peru": "Lima", "China": "北京", "Kenya": "", "Norway": "Bergen"}
SPOKEN = {"France": "Paris", "Peru": "", "China": "Beijing", "Kenya": "Mombasa", "Norway": "Oslo"}
"""What the model writes and says of each country."""
RATIO = (2, 3)
WAYS = ("text", "speech")


def task_of(folder: Path, **settings: object) -> QuestionsTask:
    sets = {"capitals": DataSetConfig(layout="audio_jsonl", folder=folder)}
    given = {
        "answers": ("thoughts",),
        "ratio": RATIO,
        "max_text_tokens": 12,
        "max_speech_tokens": 24,
        "temperature": 0.0,
    }
    return QuestionsTask(**{"sets": sets, "speech_tokenizer": folder / "tokenizer", **given, **settings})


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_questions(tmp_path_factory.mktemp("questions"))


def thoughts_of(country: str, model: LanguageModel, layout: StreamingThoughts) -> list[int]:
    speech = (letters_spoken(SPOKEN[country]) + model.vocabulary.first_speech_id).tolist()
    return layout.join([*WRITTEN[country].encode()], speech)


def learnt_thoughts(model: LanguageModel, task: QuestionsTask) -> LanguageModel:
    layout, examples = StreamingThoughts(vocabulary=model.vocabulary, ratio=RATIO), []
    for way in task.ways:
        for item in task.items(model.vocabulary):
            prompt = question_prompt(model, item.question, way, before="", after="")
            examples.append((prompt, [*thoughts_of(item.id, model, layout), model.vocabulary.end_of_document]))
    return taught(model, examples)


@pytest.fixture(scope="module")
def learnt() -> dict[str, LanguageModel]:
    return {}


@pytest.fixture
def thinking(
    learnt: dict[str, LanguageModel], recordings: Path, model: LanguageModel, tokenizer: object
) -> LanguageModel:
    """A model that writes and says what it learnt, in turns; it learns once."""
    if not learnt:
        learnt["it"] = learnt_thoughts(model, task_of(recordings))
    return learnt["it"]


def credits(records: Sequence[Record], pair: str) -> dict[str, float]:
    return {record["item"]: record["credit"] for record in records if record["pair"] == pair}


def test_text_and_speech_of_one_generation_are_judged_apart(recordings, thinking):
    task = task_of(recordings)
    items = task.items(thinking.vocabulary)
    assert [group for group, _ in task.prompts(items, thinking)] == ["text->thoughts", "speech->thoughts"]
    results, records = run_task(thinking, task, items, BOOTSTRAP, name="questions")
    assert len(records) == 2 * 2 * 5
    for given in WAYS:
        text, speech = f"{given}->text in thoughts", f"{given}->speech in thoughts"
        answers = {pair: {r["item"]: r["answer"] for r in records if r["pair"] == pair} for pair in (text, speech)}
        assert answers == {text: WRITTEN, speech: SPOKEN}
        assert credits(records, text) == {"France": 1, "Peru": 1, "China": 0, "Kenya": 0, "Norway": 0}
        assert credits(records, speech) == {"France": 1, "Peru": 0, "China": 1, "Kenya": 0, "Norway": 1}
        found = results["capitals"]
        assert found[text]["wrong"] == {"no answer": 1, "other script": 1} and found[text]["other_script"] == 0.2
        assert found[speech]["wrong"] == {"no answer": 1} and found[text]["layout_kept"] == 1
        assert (
            found[speech]["where text is right"]["value"] == 0.5 and found[speech]["where text is right"]["items"] == 2
        )
        assert found[text]["where speech is right"]["value"] == pytest.approx(1 / 3, abs=1e-6)
        assert found[text]["words_in_order"]["items"] == found[speech]["words_in_order"]["items"] == 5
    assert "speech->speech in thoughts where text is right" in "\n".join(score_table({"questions": results}))


def test_text_of_thoughts_can_be_restricted_to_a_script(recordings, thinking):
    task = task_of(recordings, restricted=True)
    _, records = run_task(thinking, task, task.items(thinking.vocabulary), BOOTSTRAP, name="questions")
    china = {record["pair"]: record for record in records if record["item"] == "China"}
    assert china["text->text in thoughts"]["reason"] == "other script"
    restricted = china["text->text in thoughts restricted to en"]
    assert restricted["answer"].isascii() and restricted["reason"] != "other script"
    assert "text->speech in thoughts restricted to en" in china


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_batch_size_and_order_change_no_thought(recordings, thinking, temperature):
    task = task_of(recordings, temperature=temperature)
    items = task.items(thinking.vocabulary)
    _, expected = run_task(thinking, task, items, BOOTSTRAP, name="questions")
    _, records = run_task(thinking, replace(task, batch_size=2), items[::-1], BOOTSTRAP, name="questions")
    assert sorted(map(json.dumps, records)) == sorted(map(json.dumps, expected))


def test_an_answer_that_breaks_the_layout_is_read_all_the_same_and_counted(recordings, thinking):
    task = task_of(recordings)
    items = task.items(thinking.vocabulary)
    speech = (letters_spoken("Paris") + thinking.vocabulary.first_speech_id).tolist()
    layout = StreamingThoughts(vocabulary=thinking.vocabulary, ratio=RATIO)
    broken, cut_off = (Written(tokens=(*speech, *b"Paris"), reason=reason) for reason in ("stop", "length"))
    whole = Written(tokens=tuple(thoughts_of("France", thinking, layout)), reason="stop")
    empty = Written(tokens=(), reason="stop")
    answers = {way.name: [broken, whole, cut_off, empty, Written(tokens=(), reason="too long")] for way in task.ways}
    records = task.records(items, answers, thinking)
    for pair in ("speech->text in thoughts", "speech->speech in thoughts"):
        own = [record for record in records if record["pair"] == pair]
        assert [record["answer"].rstrip(".") for record in own] == ["Paris", "Paris", "Paris", "", ""]
        assert [record["reason"] for record in own] == [None, None, None, "no answer", "too long"]
    results = task.results(items, records, BOOTSTRAP)["capitals"]
    assert results["speech->text in thoughts"]["layout_kept"] == pytest.approx(2 / 3, abs=1e-6), "ended answers only"
    assert results["speech->text in thoughts"]["words_in_order"]["items"] == 5


def test_whisper_and_dnsmos_hear_the_sound_and_both_credits_are_given(recordings, thinking, sound):
    task = task_of(recordings, sound=sound)
    results, records = run_task(thinking, task, task.items(thinking.vocabulary), BOOTSTRAP, name="questions")
    pair = "speech->speech in thoughts"
    assert credits(records, pair) == {"France": 1, "Peru": 0, "China": 1, "Kenya": 0, "Norway": 1}
    assert credits(records, f"{pair} by Whisper") == {"France": 1, "Peru": 0, "China": 1, "Kenya": 0, "Norway": 0}
    heard = {record["item"]: record for record in records if record["pair"] == f"{pair} by Whisper"}
    assert heard["Norway"]["answer"] == "Also." and heard["Peru"]["reason"] == "no answer"
    rated = {record["item"]: record.get("dnsmos") for record in records if record["pair"] == pair}
    assert rated == {"France": 1.8, "Peru": None, "China": 2.12, "Kenya": 2.12, "Norway": 1.64}
    found = results["capitals"]
    assert found[pair]["dnsmos"]["value"] == pytest.approx(1.92) and found[pair]["dnsmos"]["items"] == 4
    assert found[f"{pair} by Whisper"]["wrong"] == found[pair]["wrong"] == {"no answer": 1}
    assert "dnsmos" not in found[f"{pair} by Whisper"] and "dnsmos" not in found["speech->text in thoughts"]
    assert found["speech->text in thoughts"]["where speech by Whisper is right"]["value"] == 0.5
    assert OPINION in score_table({"questions": results})


def test_plain_speech_of_a_model_that_has_no_thoughts_is_heard_too(recordings, model, tokenizer, sound):
    task = task_of(recordings, answers=("speech",), max_text_tokens=500, sound=sound)
    items = task.items(model.vocabulary)
    speech = (letters_spoken("Paris") + model.vocabulary.first_speech_id).tolist()
    answers = {way.name: [Written(tokens=tuple(speech), reason="stop")] * 5 for way in task.ways}
    records = task.records(items, answers, model)
    assert {record["pair"] for record in records} == {
        f"{given}->speech{heard}" for given in WAYS for heard in ("", " by Whisper")
    }
    assert all(record["credit"] == (record["item"] == "France") for record in records)


def test_spoken_texts_are_read_by_both_and_rated(recordings, model, tokenizer, sound):
    (folder := recordings / "texts").mkdir()
    (folder / "meta.lst").write_text("a|.|a.wav|Paris\nb|.|b.wav|Oslo\nc|.|c.wav|Lima Peru\nd|.|d.wav|Rome\n")
    sets = {"seed": DataSetConfig(layout="seed_tts_eval", folder=folder)}
    task = SynthesisTask(sets=sets, speech_tokenizer=folder / "tokenizer", max_speech_tokens=40, sound=sound)
    items = task.items(model.vocabulary)
    codes = [(letters_spoken(text) + model.vocabulary.first_speech_id).tolist() for text in ("Paris", "Oslo", "")]
    said = [*(Written(tokens=tuple(each), reason="stop") for each in codes), Written(tokens=(), reason="too long")]
    records = task.records(items, {"text->speech": said}, model)
    results = task.results(items, records, BOOTSTRAP)["seed"]
    assert results["wer"]["value"] == 3 / 5 and results["by Whisper"]["wer"]["value"] == 4 / 5
    assert results["wrong"] == results["by Whisper"]["wrong"] == {"no answer": 1, "too long": 1}
    assert results["wer"]["items"] == results["by Whisper"]["wer"]["items"] == 4
    assert results["dnsmos"]["items"] == 2 and results["dnsmos"]["value"] == pytest.approx(1.72)
    assert [r["pair"] for r in records] == [*["text->speech"] * 4, *["text->speech by Whisper"] * 4]


def test_the_protocol_tells_what_is_generated_and_who_hears_it(recordings, model, tokenizer, sound):
    task = task_of(recordings, answers=("text", "thoughts"), sound=sound)
    items = task.items(model.vocabulary)
    protocol = task.protocol(items)
    assert protocol.decoding == (
        "text: greedy, at most 12 tokens, until ['\\n']; "
        "thoughts: temperature 0, top_p 0.95, at most 36 tokens, seed 0, turns 2:3"
    )
    assert protocol.recognizer.startswith("of the speech tokenizer tokenizer-a; Whisper ")
    assert protocol.sound.startswith("speech decoder ") and ", DNSMOS " in protocol.sound
    changes = [{"ratio": (13, 26)}, {"enclosed": True, "ratio": (13, 26)}, {"sound": None}, {"max_speech_tokens": 30}]
    changes.append({"sound": replace(sound, dnsmos=None)})
    others = [replace(task, **change).protocol(items) for change in changes]
    (sound.whisper / "config.json").write_text("another Whisper")
    others.append(task.protocol(items))
    (sound.vocoder / "config.json").write_text("another vocoder")
    others.append(task.protocol(items))
    assert len({repr(each) for each in (protocol, *others)}) == len(others) + 1
    assert replace(task, answers=("text",), sound=None).protocol(items).recognizer is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": (13,)}, r"tasks\.questions\.ratio=\[13\] must be pairs of text and speech ids"),
        ({"max_speech_tokens": 190}, r"max_text_tokens \+ max_speech_tokens=202 exceeds the 200 codes"),
        ({"language": "zh"}, r"tasks\.questions\.language=zh: the recogniser of .*tokenizer reads en; change one"),
        ({"speech_tokenizer": None}, r"generated speech is read by a recogniser; name tasks\.questions\.speech_tok"),
        ({"answers": ("text", "text")}, r"answers=\['text', 'text'\] must name text, speech or thoughts once"),
    ],
)
def test_settings_of_thoughts_that_cannot_be_met_are_refused(recordings, model, tokenizer, settings, message):
    with pytest.raises(ValueError, match=message):
        task_of(recordings, **settings).items(model.vocabulary)


def test_settings_come_from_a_file_of_an_evaluation(recordings):
    folders = {"speech_decoder": "speech_decoder", "vocoder": "assets/hifigan", "whisper": "assets/whisper-base"}
    given = {"sets": {"capitals": {"layout": "audio_jsonl", "folder": str(recordings)}}, "sound": folders}
    config = EvaluateConfig(
        model=Path("hf"),
        output=Path("out"),
        tasks={
            "questions": {**given, "answers": ["text", "thoughts"], "ratio": [1, 4, 3, 8], "enclosed": True},
            "synthesis": {**given, "speech_tokenizer": "speech_tokenizer"},
        },
    )
    tasks = asked_tasks(config)
    questions, synthesis = tasks["questions"], tasks["synthesis"]
    assert questions.ratio == (1, 4, 3, 8) and questions.enclosed and questions.answers == ("text", "thoughts")
    assert questions.sound == synthesis.sound == SoundSettings(**{key: Path(path) for key, path in folders.items()})
    assert questions.inputs[-3:] == synthesis.inputs[-3:] == [Path(path) for path in folders.values()]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": [13]}, r"^tasks\.questions\.ratio=\[13\] must be pairs of text and speech ids"),
        ({"answers": ["song"]}, r"^tasks\.questions\.answers\[0\]=song must be one of text, speech, thoughts"),
        (
            {"sound": {"whisper": "w"}},
            r"^tasks\.questions\.sound\.speech_decoder, tasks\.questions\.sound\.vocoder are missing",
        ),
        (
            {"sound": {"speech_decoder": "d", "vocoder": "v"}},
            r"^tasks\.questions\.sound\.whisper and dnsmos are both missing, so nothing judges the sound; name one",
        ),
    ],
)
def test_settings_of_a_file_that_cannot_be_met_are_named(settings, message):
    sets = {"a": {"layout": "audio_jsonl", "folder": "a"}}
    tasks = {"questions": {"sets": sets, **settings}}
    with pytest.raises(ValueError, match=message) as raised:
        asked_tasks(EvaluateConfig(model=Path("hf"), output=Path("out"), tasks=tasks))
    assert "\n" not in str(raised.value)


def test_judges_that_cannot_hear_the_answers_are_refused(recordings, model, tokenizer, sound, monkeypatch):
    with pytest.raises(ValueError, match=r"whisper and dnsmos are both missing, so nothing judges the sound"):
        SoundSettings(speech_decoder=sound.speech_decoder, vocoder=sound.vocoder)
    with pytest.raises(ValueError, match=r"tasks\.questions\.sound judges speech, but answers=\['text'\] have none"):
        task_of(recordings, answers=("text",), sound=sound)
    monkeypatch.setattr(LevelWhisper, "max_samples", 2 * 16000)
    with pytest.raises(ValueError, match=r"max_speech_tokens=36 exceeds the 25 codes whose sound .*whisper hears"):
        task_of(recordings, sound=sound).items(model.vocabulary)
    assert task_of(recordings, sound=replace(sound, whisper=None)).items(model.vocabulary)
    monkeypatch.setattr(LevelDecoder.facts, "speech_fingerprint", "tokenizer-b")
    with pytest.raises(ValueError, match=r"made by speech tokenizer tokenizer-a, but the speech decoder"):
        task_of(recordings, sound=replace(sound, whisper=None)).items(model.vocabulary)


def test_no_answer_of_many_is_mixed_up(recordings, model, tokenizer, sound):
    task = task_of(recordings, answers=("speech",), sound=sound)
    drawn, first = np.random.default_rng(0), model.vocabulary.first_speech_id
    words = ["".join(map(chr, drawn.integers(97, 123, size=drawn.integers(0, 6)))) for _ in range(100)]
    (item, *_) = task.items(model.vocabulary)
    items = [replace(item, id=str(number)) for number in range(100)]
    said = [Written(tokens=tuple((letters_spoken(word) + first).tolist()), reason="stop") for word in words]
    records = task.records(items, {"text->speech": said, "speech->speech": said}, model)
    for heard, mark in (("", ""), (" by Whisper", ".")):
        own = [record["answer"] for record in records if record["pair"] == f"text->speech{heard}"]
        assert own == [word and word + mark for word in words]
