"""Every layout of evaluation data, written in miniature and read; wrong layouts are named, and no item is dropped."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from megatron_speech.audio.io import write_audio
from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.evaluation.data_sets.encoding import PassageEncoder
from megatron_speech.evaluation.data_sets.items import ChoiceItem, Item, QuestionItem, SayItem, TranscriptItem
from megatron_speech.evaluation.data_sets.table import READERS, read_items
from megatron_speech.vocabulary import Vocabulary
from tests.toys import write_jsonl

TONE = np.sin(np.arange(800, dtype=np.float32) / 5) / 2


def wav(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_audio(path, TONE)
    return path


def wav_bytes() -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, TONE, 16000, format="WAV")
    return buffer.getvalue()


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pa = pytest.importorskip("pyarrow", reason="needs the extra [corpus]")
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def heard(data: bytes | None = None) -> dict[str, Any]:
    """A recording as the Hub's Parquet files hold it."""
    return {"bytes": wav_bytes() if data is None else data, "path": "a.wav"}


def read(layout: str, folder: Path, **settings: Any) -> list[Any]:
    return list(read_items(DataSetConfig(layout=layout, folder=folder, **settings)))


# One function per layout writes two items or more, and says what is expected of the reader.


def wav_pairs(folder: Path) -> None:
    for number in (2, 10, 1):
        for word in ("incorrect", "correct"):
            wav(folder / f"{number}_{word}.wav")


def story_cloze(folder: Path) -> None:
    rows = [
        {"InputStoryid": name}
        | {f"InputSentence{n}": f"Sentence {n}." for n in range(1, 5)}
        | {"RandomFifthSentenceQuiz1": "One.", "RandomFifthSentenceQuiz2": "Two.", "AnswerRightEnding": right}
        for name, right in (("a", 1), ("b", 2))
    ]
    write_csv(folder / "cloze_test_val__spring2016.csv", rows)


def cross_modal_cloze(folder: Path) -> None:
    for name in ("speaker_1/a", "speaker_2/b_1"):
        for part in ("mutual", "correct", "incorrect"):
            wav(folder / f"{name}_{part}.wav").with_suffix(".txt").write_text(f"{part} text\n")


def _zero_speech(folder: Path, text: str) -> None:
    rows = []
    for number, voice in (("1", "A"), ("1", "B"), ("2", "A")):
        for correct in ("0", "1"):
            name = f"f{number}{voice}{correct}"
            wav(folder / f"{name}.wav")
            rows.append({"id": number, "filename": name, "voice": voice, text: f"w{correct}", "correct": correct})
    write_csv(folder / "gold.csv", rows)


def swuggy(folder: Path) -> None:
    _zero_speech(folder / "lexical" / "dev", "word")


def sblimp(folder: Path) -> None:
    _zero_speech(folder / "syntactic" / "dev", "transcription")


def salmon(folder: Path) -> None:
    for task in ("gender_consistency", "sentiment_alignment"):
        for number in (0, 1):
            for rest in ("1_b", "0_a"):
                wav(folder / task / f"sample_{number}_{rest}.wav")


def llama_questions(folder: Path) -> None:
    rows = [{"audio": heard(), "question": "Which capital?", "answer": answer} for answer in ("Paris", "Rome")]
    write_parquet(folder / "data" / "test-00000-of-00001.parquet", rows)


def web_questions(folder: Path) -> None:
    rows = [{"audio": heard(), "question": "Which?", "answers": ["Jamaican", "English"]} for _ in range(2)]
    for part in (0, 1):
        write_parquet(folder / "data" / f"test-0000{part}-of-00002.parquet", rows)


def trivia_qa(folder: Path) -> None:
    answer = {"value": "Rome", "aliases": ["Roma", "Rome"], "normalized_aliases": ["rome"]}
    rows = [{"audio": heard(), "question": "Which?", "question_id": f"q{n}", "answer": answer} for n in (0, 1)]
    write_parquet(folder / "validation-00000-of-00001.parquet", rows)


def open_audio_bench(folder: Path) -> None:
    root = folder / "eval_datas"
    sets = {
        "llama_questions": {"Questions": "Which?", "Answer": "Rome"},
        "web_questions": {"question": "Which?", "answers": "['Rome', \"St. Peter's\"]"},
        "trivia_qa": {"question": "Which?", "answer_normalized_aliases": "['rome' 'roma']"},
        "alpaca_eval": {"instruction": "Write, please.", "output": "A text."},
        "reasoning_qa": {"Prompt": "为什么?", "参考答案": "因为。"},
    }
    for name, cells in sets.items():
        write_csv(root / name / f"{name}.csv", [{**cells, "audio_filename": f"{n}.wav"} for n in (0, 1)])
        for n in (0, 1):
            wav(root / name / "audios" / f"{n}.wav")


def voice_bench(folder: Path) -> None:
    for table in ("sd-qa/aus", "sd-qa/usa"):
        rows = [{"audio": heard(), "prompt": "Which?", "reference": "Rome"}] * 2
        write_parquet(folder / f"{table}-00000-of-00001.parquet", rows)
    rows = [{"audio": heard(), "prompt": "Write.", "key": 7, "instruction_id_list": ["length"], "kwargs": "[{}]"}]
    write_parquet(folder / "ifeval" / "test-00000-of-00001.parquet", rows)


def big_bench_audio(folder: Path) -> None:
    rows = [
        {"id": n, "file_name": f"data/question_{n}.wav", "category": "navigate", "official_answer": "Yes"}
        for n in (0, 1)
    ]
    write_jsonl(folder / "metadata.jsonl", *rows)
    for n in (0, 1):
        wav(folder / "data" / f"question_{n}.wav")


def speech_mmlu(folder: Path) -> None:
    for subject, answer in (("anatomy", 2), ("virology", 0)):
        path = f"audio/{subject}/prompts/0.wav"
        row = {"id": "0", "subject": subject, "question_text": "Which?", "question_audio": path, "answer": answer}
        write_parquet(folder / subject / "train-00000-of-00001.parquet", [row | {"voice_id": "v"}])
        wav(folder / path)
    (folder / "few_shot_prompts.json").write_text("{}")


def uro_bench(folder: Path) -> None:
    for name in ("Repeat", "Gsm8kEval"):
        rows = [{"id": n, "source_wav": f"audio/{n}.wav", "source_text": "Two and two?"} for n in (0, 1)]
        write_jsonl(folder / name / "test.jsonl", *(row | {"target_text": "four"} for row in rows))
        for n in (0, 1):
            wav(folder / name / "audio" / f"{n}.wav")


def stress_test(folder: Path) -> None:
    rows = [
        {
            "audio": heard(),
            "transcription": "I did not say that",
            "transcription_id": "t",
            "interpretation_id": f"i{n}",
            "intonation": "i DID not",
            "stress_pattern": {"words": ["I", "did"]},
            "possible_answers": ["Someone else said it.", "It was not said."],
            "label": n,
        }
        for n in (0, 1)
    ]
    write_parquet(folder / "data" / "test-00000-of-00001.parquet", rows)


def seed_tts_eval(folder: Path) -> None:
    wav(folder / "en" / "prompt-wavs" / "p.wav")
    (folder / "en" / "meta.lst").write_text("a|Prompt.|prompt-wavs/p.wav|Text.\nb|Prompt.|prompt-wavs/p.wav|Other.\n")
    wav(folder / "zh" / "prompt-wavs" / "p.wav")
    (folder / "zh" / "hardcase.lst").write_text("c|提示|prompt-wavs/p.wav|文本|prompt-wavs/p.wav\n", encoding="utf-8")


def librispeech(folder: Path) -> None:
    chapter = folder / "test-clean" / "61" / "70968"
    wav(chapter / "61-70968-0000.wav")
    wav(chapter / "61-70968-0001.wav")
    (chapter / "61-70968.trans.txt").write_text("61-70968-0000 HE BEGAN\n61-70968-0001 A TALE\n")


def aishell(folder: Path) -> None:
    root = folder / "data_aishell"
    wav(root / "wav" / "test" / "S0764" / "BAC009S0764W0121.wav")
    (root / "transcript").mkdir()
    lines = ("BAC009S0764W0121 甚至 出现 交易", "BAC009S0764W0122 一二 线", "BAC009S0002W0122 不 在 这里")
    (root / "transcript" / "aishell_transcript_v0.8.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def fleurs(folder: Path) -> None:
    lines = ["5\t1.wav\tRaw, one.\traw one\tr a w\t800\tMALE", "5\t2.wav\tRaw, two.\traw two\tr a w\t800\tFEMALE"]
    (folder / "en_us" / "audio").mkdir(parents=True)
    (folder / "en_us" / "test.tsv").write_text("\n".join(lines) + "\n")
    with tarfile.open(folder / "en_us" / "audio" / "test.tar.gz", "w:gz") as tar:
        for name in ("1.wav", "2.wav"):
            data = wav_bytes()
            member = tarfile.TarInfo(f"test/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def audio_jsonl(folder: Path) -> None:
    rows = [{"index": n, "audio_path": f"{n}.wav", "question": "", "audio_content": "Which?"} for n in (0, 1)]
    write_jsonl(folder / "OpenAudioBench.jsonl", *(row | {"answer": "Rome", "subset": "s"} for row in rows))
    for n in (0, 1):
        wav(folder / f"{n}.wav")


def own_items(folder: Path) -> None:
    cloze = {"id": "rain", "text": "It rained.", "metadata": {"ending": "It was wet.", "random_ending": "Cats purr."}}
    question = {"id": "q", "text": "The capital of France is", "metadata": {"country": "France", "answer": "Paris"}}
    write_jsonl(folder / "cloze.jsonl", cloze, cloze | {"id": "rain again"})
    write_jsonl(folder / "questions.jsonl", question)


def speech_codes(folder: Path) -> None:
    utterances = [spoken_utterance(name, text=text) for name, text in (("a", "He began."), ("b", "A tale."))]
    write_documents(folder, utterances, vocabulary=CODES, name="codes")


CODES = Vocabulary.of_codes(8, "f" * 64)


def spoken_utterance(key: str, **meta: Any) -> TokenDocument:
    return TokenDocument(key=key, tokens=np.arange(4, dtype=np.int32), meta=meta)


WRITERS: dict[str, tuple[Callable[[Path], None], type[Item], int, int]] = {
    # writer, kind of item, items, items with a defect
    "wav_pairs": (wav_pairs, ChoiceItem, 3, 0),
    "story_cloze": (story_cloze, ChoiceItem, 2, 0),
    "cross_modal_cloze": (cross_modal_cloze, ChoiceItem, 2, 0),
    "swuggy": (swuggy, ChoiceItem, 3, 0),
    "sblimp": (sblimp, ChoiceItem, 3, 0),
    "salmon": (salmon, ChoiceItem, 4, 0),
    "llama_questions": (llama_questions, QuestionItem, 2, 0),
    "web_questions": (web_questions, QuestionItem, 4, 0),
    "trivia_qa": (trivia_qa, QuestionItem, 2, 0),
    "open_audio_bench": (open_audio_bench, QuestionItem, 10, 0),
    "voice_bench": (voice_bench, QuestionItem, 5, 0),
    "big_bench_audio": (big_bench_audio, QuestionItem, 2, 0),
    "speech_mmlu": (speech_mmlu, QuestionItem, 2, 0),
    "uro_bench": (uro_bench, QuestionItem, 4, 0),
    "stress_test": (stress_test, ChoiceItem, 2, 0),
    "seed_tts_eval": (seed_tts_eval, SayItem, 3, 0),
    "librispeech": (librispeech, TranscriptItem, 2, 0),
    "aishell": (aishell, TranscriptItem, 2, 1),
    "fleurs": (fleurs, TranscriptItem, 2, 0),
    "audio_jsonl": (audio_jsonl, QuestionItem, 2, 0),
    "own_items": (own_items, Item, 3, 0),
    "speech_codes": (speech_codes, TranscriptItem, 2, 0),
}


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
    ["wav_pairs", "swuggy", "cross_modal_cloze", "open_audio_bench", "seed_tts_eval", "librispeech", "uro_bench"],
)
def test_a_damaged_recording_is_counted_with_its_reason(layout: str, damage: str, tmp_path: Path):
    write, _, count, _ = WRITERS[layout]
    write(tmp_path)
    data, reason = DEFECTS[damage]
    path = sorted(tmp_path.rglob("*.wav"))[0]
    if data is None and layout == "wav_pairs":
        path.unlink()
        with pytest.raises(ValueError, match="must be a pair"):  # nothing but the file says that there is an item
            read(layout, tmp_path)
        return
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


def test_accepted_answers_of_lists_and_printed_lists(tmp_path: Path):
    open_audio_bench(tmp_path)
    answers = {item.subset: item.answers for item in read("open_audio_bench", tmp_path)}
    assert answers["web_questions"] == ("Rome", "St. Peter's")
    assert answers["trivia_qa"] == ("rome", "roma")
    assert answers["llama_questions"] == ("Rome",) and answers["reasoning_qa"] == ("因为。",)


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
