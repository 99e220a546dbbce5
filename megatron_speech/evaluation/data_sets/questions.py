"""Data sets of spoken questions that are tables: what their columns are called, and which answers are accepted.

| layout | table | question | answers |
|---|---|---|---|
| llama_questions | any, Parquet as on the Hub | question, Questions | answer, Answer |
| web_questions | any | question | answers |
| trivia_qa | any | question | answer_normalized_aliases, aliases, answer (an object or a text) |
| big_bench_audio | metadata.jsonl beside data/ | - | official_answer |
| speech_mmlu | any, a folder per subject | question_text | answer, 0 to 3, as a letter |
| audio_jsonl | JSON lines | audio_content, question | answer |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import QuestionItem
from megatron_speech.evaluation.data_sets.tables import TableRow, name_of_table, numbered_rows, tables_below


@dataclass(frozen=True, kw_only=True)
class QuestionColumns:
    """Columns of a table of questions; each field lists the names that are known."""

    audio: Sequence[str]
    question: Sequence[str] = ()
    """Empty if the table does not write the question."""
    answers: Callable[[TableRow], tuple[str, ...]]
    id: Sequence[str] = ("id", "question_id", "index", "key")
    subset: Sequence[str] = ()
    """Column that names the part of the data set; empty takes the name of the table if there are several."""
    folders: Sequence[str] = ("",)
    """Folders beside the table in which a path is looked for."""


def question_of(row: TableRow, columns: QuestionColumns, *, subset: str) -> QuestionItem:
    """The question of one row."""
    text = row.cell(*columns.question) if columns.question else None
    own = str(row.cell(*columns.id)) if row.has(*columns.id) else str(row.number)
    subset = str(row.cell(*columns.subset)) if columns.subset else subset
    return QuestionItem(
        id=f"{subset}/{own}".lstrip("/"),
        subset=subset,
        question=row.passage(columns.audio, str(text) if text else None, *columns.folders),
        answers=columns.answers(row),
        notes=row.notes(*columns.audio, *columns.question, *columns.id, *columns.subset),
    )


def read_questions(
    config: DataSetConfig, columns: QuestionColumns, *, tables: Callable[[Path], list[Path]] = tables_below
) -> Iterator[QuestionItem]:
    """Questions of all tables of a data set."""
    found = tables(config.folder)
    several = len({name_of_table(table, config.folder) for table in found}) > 1
    for name, row in numbered_rows(found, config.folder):
        yield question_of(row, columns, subset=name if several else "")


def answers_in(*names: str) -> Callable[[TableRow], tuple[str, ...]]:
    """A function that takes the accepted answers of a row from the first of `names` that is a column."""
    return lambda row: row.answers(*names)


def answers_if_any(name: str) -> Callable[[TableRow], tuple[str, ...]]:
    """Like `answers_in`; without the column, only a judge can tell."""
    return lambda row: row.answers(name) if row.has(name) else ()


def _trivia(row: TableRow) -> tuple[str, ...]:
    value: Any = row.cell("answer_normalized_aliases", "normalized_aliases", "aliases", "answer")
    if not isinstance(value, dict):
        return row.answers("answer_normalized_aliases", "normalized_aliases", "aliases", "answer")
    listed = [value.get("value"), *value.get("aliases", ()), *value.get("normalized_aliases", ())]
    return tuple(dict.fromkeys(str(each) for each in listed if each))


def _letter(row: TableRow) -> tuple[str, ...]:
    value = str(row.cell("answer"))
    if value not in ("0", "1", "2", "3"):
        raise ValueError(f"{row.place}: answer={value:.20} must be 0, 1, 2 or 3; correct the row")
    return ("ABCD"[int(value)],)


def _reader(expects: str, columns: QuestionColumns, **options: Any) -> ItemReader:
    return ItemReader(expects=expects, read=partial(read_questions, columns=columns, **options))


AUDIO = ("audio", "audio_filename", "audio_path")
LLAMA_QUESTIONS = _reader(
    "a table with the columns audio, question (or Questions) and answer (or Answer)",
    QuestionColumns(
        audio=AUDIO,
        question=("question", "Questions", "questions"),
        answers=answers_in("answer", "Answer", "answers"),
        folders=("", "audios"),
    ),
)
WEB_QUESTIONS = _reader(
    "a table with the columns audio, question and answers (a list)",
    QuestionColumns(
        audio=AUDIO, question=("question",), answers=answers_in("answers", "answer"), folders=("", "audios")
    ),
)
TRIVIA_QA = _reader(
    "a table with the columns audio, question and answer_normalized_aliases, aliases or answer",
    QuestionColumns(audio=AUDIO, question=("question",), answers=_trivia, folders=("", "audios")),
)
BIG_BENCH_AUDIO = _reader(
    "metadata.jsonl with the columns file_name, category, official_answer, and data/question_<number>.mp3",
    QuestionColumns(
        audio=("file_name", "audio"), answers=answers_in("official_answer"), subset=("category",), folders=("", "data")
    ),
    tables=lambda folder: [folder] if folder.is_file() else sorted(folder.rglob("metadata.jsonl")),
)
SPEECH_MMLU = _reader(
    "a table per subject with the columns id, subject, question_text, question_audio, answer (0 to 3)",
    QuestionColumns(
        audio=("question_audio",),
        question=("question_text",),
        answers=_letter,
        subset=("subject",),
        folders=("", "..", "../.."),
    ),
)
AUDIO_JSONL = _reader(
    "JSON lines with the keys index, audio_path, audio_content (or question) and answer",
    QuestionColumns(
        audio=("audio_path",), question=("audio_content", "question"), answers=answers_in("answer"), folders=("",)
    ),
)
