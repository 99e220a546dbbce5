"""Every layout of evaluation data in miniature: for each, a function that writes two items or more."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megatron_speech.audio.io import write_audio
from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.data.shards.document import TokenDocument
from megatron_speech.data.shards.documents import write_documents
from megatron_speech.evaluation.data_sets.items import ChoiceItem, Item, QuestionItem, SayItem, TranscriptItem
from megatron_speech.evaluation.data_sets.table import read_items
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
