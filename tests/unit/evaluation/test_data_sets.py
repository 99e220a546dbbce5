"""Every layout of evaluation data, written in miniature and read; wrong layouts are named, and no item is dropped."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.evaluation.data_sets.encoding import PassageEncoder
from megatron_speech.evaluation.data_sets.items import spoken
from megatron_speech.evaluation.data_sets.table import READERS
from tests.toys import write_jsonl
from tests.unit.evaluation.layouts import (
    CODES,
    WRITERS,
    open_audio_bench,
    read,
    salmon,
    speech_codes,
    spoken_utterance,
    swuggy,
    uro_bench,
    wav,
    wav_bytes,
    write_csv,
    write_parquet,
)


def test_every_layout_has_a_miniature():
    assert READERS.keys() == WRITERS.keys() and len(READERS) >= 14


@pytest.mark.parametrize("layout", READERS)
def test_a_layout_is_read_in_full(layout: str, tmp_path: Path):
    write, kind, count, defects = WRITERS[layout]
    write(tmp_path)
    items = read(layout, tmp_path)
    assert len(items) == count and all(isinstance(item, kind) for item in items)
    assert sum(item.defect is not None for item in items) == defects
    assert len({item.id for item in items}) == count
    json.dumps([dict(item.notes) for item in items])  # no recording is left among the notes


@pytest.mark.parametrize("layout", READERS)
def test_a_folder_of_another_layout_is_one_line_with_what_is_expected(layout: str, tmp_path: Path):
    wav(tmp_path / "speaker" / "hello.wav")
    write_csv(tmp_path / "things.csv", [{"colour": "red", "size": "2"}])
    write_jsonl(tmp_path / "other.jsonl", {"colour": "red"})
    with pytest.raises(ValueError) as raised:
        read(layout, tmp_path)
    message = str(raised.value)
    assert READERS[layout].expects in message and "\n" not in message and str(tmp_path) in message


@pytest.mark.parametrize("layout", READERS)
def test_a_data_set_of_no_items_is_refused(layout: str, tmp_path: Path):
    with pytest.raises(ValueError, match=f"no item of layout={layout}, which expects"):
        read(layout, tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        read(layout, tmp_path / "nowhere")


DEFECTS: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "missing"),
    "empty": (b"", "empty"),
    "unreadable": (b"no audio" * 40, "not audio"),
    "truncated": (wav_bytes()[:-400], "cut short"),
}


@pytest.mark.parametrize("damage", DEFECTS)
@pytest.mark.parametrize(
    "layout",
    [
        *("wav_pairs", "swuggy", "salmon", "cross_modal_cloze", "open_audio_bench", "seed_tts_eval", "librispeech"),
        "uro_bench",
    ],
)
def test_a_damaged_recording_is_counted_with_its_reason(layout: str, damage: str, tmp_path: Path):
    write, _, count, _ = WRITERS[layout]
    write(tmp_path)
    data, reason = DEFECTS[damage]
    path = sorted(tmp_path.rglob("*.wav"))[0]
    path.unlink() if data is None else path.write_bytes(data)
    items = read(layout, tmp_path)
    assert len(items) == count
    assert {item.defect for item in items} == {None, reason}


@pytest.mark.parametrize("layout", ["llama_questions", "voice_bench", "stress_test"])
def test_a_damaged_recording_in_a_table_is_counted(layout: str, tmp_path: Path):
    write, _, count, _ = WRITERS[layout]
    write(tmp_path)
    from pyarrow import parquet

    for data, reason in ((None, "missing"), (b"", "empty"), (b"x" * 99, "not audio")):
        path = next(tmp_path.rglob("*.parquet"))
        rows = parquet.read_table(path).to_pylist()
        rows[0]["audio"] = {"bytes": data, "path": None}
        write_parquet(path, rows)
        items = read(layout, tmp_path)
        assert len(items) == count and [item.defect for item in items if item.defect] == [reason]


def test_the_right_one_of_a_pair_is_found_by_name_whatever_the_order_of_files(tmp_path: Path):
    for number in range(40):
        words = ["correct", "incorrect"] if number % 2 else ["incorrect", "correct"]
        for word in words:
            wav(tmp_path / f"{number:03d}_{word}.wav")
    items = read("wav_pairs", tmp_path)
    assert len(items) == 40
    for item in items:
        assert item.candidates[item.right].recording.stem.endswith("_correct")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("1_a.wav", "1_b.wav"), "do not say which is right"),
        (("1_correct.wav", "1_correct_again.wav"), "do not say which is right"),
        (("1_true_wrong.wav", "1_false_right.wav"), "do not say which is right"),
        (("1_correct.wav",), "must be a pair"),
        (("1_correct.wav", "1_incorrect.wav", "2_cover.wav"), "must be a pair"),
        (("1_correct.wav", "01_incorrect.wav", "1_wrong.wav"), "must be a pair"),
        (("correct.wav", "incorrect.wav"), "must begin with the number"),
    ],
)
def test_a_doubtful_pair_is_refused(names: Iterable[str], message: str, tmp_path: Path):
    for name in names:
        wav(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        read("wav_pairs", tmp_path)


def test_a_user_can_name_the_words_of_a_pair(tmp_path: Path):
    for name in ("1+real.wav", "1+made.wav"):
        wav(tmp_path / name)
    (item,) = read("wav_pairs", tmp_path, right="real", wrong="made")
    assert item.candidates[item.right].recording.name == "1+real.wav"
    (again,) = read("wav_pairs", tmp_path, right="Real", wrong="MADE")
    assert again.right == item.right
    with pytest.raises(ValueError, match="must be two words"):
        DataSetConfig(layout="wav_pairs", folder=tmp_path, right="real")


def test_gold_tables_decide_and_doubt_is_refused(tmp_path: Path):
    swuggy(tmp_path)
    for item in read("swuggy", tmp_path):
        assert item.candidates[item.right].text == "w1" and item.candidates[item.right].recording.stem.endswith("1")
    gold = tmp_path / "lexical" / "dev" / "gold.csv"
    gold.write_text(gold.read_text().replace(",w0,0", ",w0,1"))
    with pytest.raises(ValueError, match=r"marks correct=1, 1; one 1 and one 0"):
        read("swuggy", tmp_path)


def test_salmon_takes_the_first_of_two_sorted_names(tmp_path: Path):
    salmon(tmp_path)
    items = read("salmon", tmp_path)
    assert {item.candidates[item.right].recording.name[-7:] for item in items} == {"0_a.wav"}
    assert {item.subset for item in items} == {"gender_consistency", "sentiment_alignment"}
    wav(tmp_path / "sentiment_alignment" / "sample_1_2_c.wav")
    with pytest.raises(ValueError, match="number 1 has 3 recordings"):
        read("salmon", tmp_path)


@pytest.mark.parametrize(
    "layout", ["wav_pairs", "salmon", "cross_modal_cloze", "seed_tts_eval", "aishell", "librispeech"]
)
def test_hidden_twins_of_files_are_no_files(layout: str, tmp_path: Path):
    write, _, count, defects = WRITERS[layout]
    write(tmp_path)
    for path in [*tmp_path.rglob("*.*")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7\xff")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._1_correct.wav").write_bytes(b"\0\5\x16\7\xff")
    items = read(layout, tmp_path)
    assert len(items) == count and sum(item.defect is not None for item in items) == defects


def test_lists_of_texts_to_say_have_two_to_five_fields(tmp_path: Path):
    wav(tmp_path / "p.wav")
    lines = ["a|Two.", "b.wav|Three.|p.wav", "c|Prompt.|p.wav|Four.", "d|Prompt.|p.wav|Five.|gone.wav"]
    (tmp_path / "meta.lst").write_text("\n".join(lines) + "\n")
    items = read("seed_tts_eval", tmp_path)
    assert [(item.id, item.text) for item in items] == [
        ("meta/a", "Two."),
        ("meta/b", "Three."),
        ("meta/c", "Four."),
        ("meta/d", "Five."),
    ]
    assert [item.prompt.recording and item.prompt.recording.name for item in items] == [None, *["p.wav"] * 3]
    assert [item.prompt.text for item in items] == [None, None, "Prompt.", "Prompt."]
    assert [item.defect for item in items] == [None, None, None, "missing"]
    (tmp_path / "meta.lst").write_text("a|b|c|d|e|f\n")
    with pytest.raises(ValueError, match=r"meta\.lst:1: 6 fields, 2 to 5 are expected"):
        read("seed_tts_eval", tmp_path)


def test_sets_of_dialogues_are_told_and_passed_over(tmp_path: Path, caplog):
    uro_bench(tmp_path)
    turn = {"round": 1, "source_wav": "audio/0.wav", "source_text": "Hello?", "target_text": "Hello."}
    write_jsonl(tmp_path / "MtBench" / "test.jsonl", *({"id": n, "num_round": 1, "dialogue": [turn]} for n in (0, 1)))
    with caplog.at_level("WARNING"):
        assert {item.subset for item in read("uro_bench", tmp_path)} == {"Repeat", "Gsm8kEval"}
    (told,) = caplog.messages
    assert "MtBench/test.jsonl: dialogues of several rounds are not asked" in told
    with pytest.raises(ValueError, match="no item of layout=uro_bench"):
        read("uro_bench", tmp_path / "MtBench")


def test_a_cache_is_shared_by_jobs_that_encode_one_recording_at_a_time(tmp_path: Path, monkeypatch):
    """A second job that ends in the middle of the first one's writing takes nothing from it."""
    path = wav(tmp_path / "a.wav")
    encoders = [PassageEncoder(tmp_path, tmp_path / "cache") for _ in range(2)]
    for each in encoders:
        each.facts = SimpleNamespace(fingerprint="f" * 64)
        monkeypatch.setattr(each, "_encode", lambda data: np.arange(4, dtype=np.int32))
    save, nested = np.save, []

    def saving(place: Path, codes: np.ndarray) -> None:
        save(place, codes)
        if not nested:
            nested.append(True)
            encoders[1].codes(spoken(path))

    monkeypatch.setattr(np, "save", saving)
    codes, defect = encoders[0].codes(spoken(path))
    assert codes.tolist() == [0, 1, 2, 3] and defect is None
    (kept,) = (tmp_path / "cache").rglob("*.npy")
    assert np.load(kept).tolist() == [0, 1, 2, 3]


def test_accepted_answers_of_lists_and_printed_lists(tmp_path: Path):
    open_audio_bench(tmp_path)
    answers = {item.subset: item.answers for item in read("open_audio_bench", tmp_path)}
    assert answers["web_questions"] == ("Rome", "St. Peter's")
    assert answers["trivia_qa"] == ("rome", "roma")
    assert answers["llama_questions"] == ("Rome",) and answers["reasoning_qa"] == ("因为。",)
    row = {"question": "Which?", "audio_filename": "0.wav"}
    for printed, accepted in (("[]", ()), ("[ ]", ()), ("[sic]", ("[sic]",))):
        write_csv(tmp_path / "eval_datas" / "web_questions" / "web_questions.csv", [{**row, "answers": printed}])
        found = [item.answers for item in read("open_audio_bench", tmp_path) if item.subset == "web_questions"]
        assert found == [accepted]


def test_what_the_readers_take_from_their_columns(tmp_path: Path):
    for layout, (write, *_) in WRITERS.items():
        write(tmp_path / layout) if layout in ("stress_test", "speech_mmlu", "voice_bench", "aishell") else None
    stress = read("stress_test", tmp_path / "stress_test")
    assert [item.right for item in stress] == [0, 1] and stress[0].notes["stress_pattern"] == {"words": ["I", "did"]}
    assert {item.subset: item.answers for item in read("speech_mmlu", tmp_path / "speech_mmlu")} == {
        "anatomy": ("C",),
        "virology": ("A",),
    }
    voice = {item.id: item for item in read("voice_bench", tmp_path / "voice_bench")}
    assert [*voice] == ["ifeval/test/7", "sd-qa/aus/0", "sd-qa/aus/1", "sd-qa/usa/0", "sd-qa/usa/1"]
    assert voice["ifeval/test/7"].answers == () and voice["ifeval/test/7"].notes["instruction_id_list"] == ["length"]
    first, second = read("aishell", tmp_path / "aishell")
    assert first.speech.text == "甚至出现交易" and second.defect == "missing"


def test_codes_of_an_own_data_set_are_those_of_the_utterances(tmp_path: Path):
    speech_codes(tmp_path)
    first, second = read("speech_codes", tmp_path)
    assert (first.id, first.speech.text, second.speech.text) == ("a", "He began.", "A tale.")
    assert first.speech.recording.codes.tolist() == [0, 1, 2, 3]
    write_documents(tmp_path / "silent", [spoken_utterance("c")], vocabulary=CODES, name="codes")
    with pytest.raises(ValueError, match=r"silent: utterance 'c' has no transcript.*speech_codes expects an output"):
        read("speech_codes", tmp_path / "silent")


def test_spoken_questions_of_ones_own_are_asked_in_their_first_reading(tmp_path: Path):
    rows = [
        {"id": name, "text": f"The capital of {name} is", "metadata": {"country": name, "answer": "A", "group": "g"}}
        for name in ("Chad", "Mali", "Peru")
    ]
    write_jsonl(tmp_path / "questions.jsonl", *rows)
    heard = [spoken_utterance(f"{name}-{n}", country=name, reading=n) for name in ("Peru", "Chad") for n in (0, 1)]
    write_documents(tmp_path / "codes", heard, vocabulary=CODES, name="codes")
    items = read("own_items", tmp_path / "questions.jsonl", codes=tmp_path / "codes")
    assert [(item.id, item.subset) for item in items] == [("Chad", "g"), ("Peru", "g")]
    assert [item.question.recording.place.rpartition(" ")[2] for item in items] == ["'Chad-0'", "'Peru-0'"]
    assert len(read("own_items", tmp_path / "questions.jsonl")) == 3, "without codes, all are asked in writing"
    write_documents(tmp_path / "nameless", [spoken_utterance("x")], vocabulary=CODES, name="codes")
    with pytest.raises(ValueError, match="nameless: utterance 'x' lacks 'country'"):
        read("own_items", tmp_path / "questions.jsonl", codes=tmp_path / "nameless")
    with pytest.raises(ValueError, match="belong to layout=own_items, not to layout=salmon; drop them"):
        DataSetConfig(layout="salmon", folder=tmp_path, codes=tmp_path / "codes")


def test_codes_of_another_speech_tokenizer_are_refused(tmp_path: Path):
    encoder = PassageEncoder(tmp_path)
    encoder.facts = SimpleNamespace(fingerprint="f" * 64)
    speech_codes(tmp_path / "codes")
    passage = read("speech_codes", tmp_path / "codes")[0].speech
    codes, defect = encoder.codes(passage)
    assert codes.tolist() == [0, 1, 2, 3] and defect is None
    encoder.facts = SimpleNamespace(fingerprint="0" * 64)
    with pytest.raises(ValueError, match=r"utterance 'a': codes of the speech tokenizer ffff.*is 0000"):
        encoder.codes(passage)
