"""Benchmarks of several sets, each a folder with a table of its own: OpenAudioBench, VoiceBench, URO-Bench."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import QuestionItem
from megatron_speech.evaluation.data_sets.questions import (
    QuestionColumns,
    answers_if_any,
    answers_in,
    question_of,
    read_questions,
)
from megatron_speech.evaluation.data_sets.tables import TableRow, table_rows, tables_below

logger = logging.getLogger(__name__)

OPEN_AUDIO_BENCH_SETS = {
    "alpaca_eval": ("instruction", "output"),
    "llama_questions": ("Questions", "Answer"),
    "reasoning_qa": ("Prompt", "参考答案"),
    "trivia_qa": ("question", "answer_normalized_aliases"),
    "web_questions": ("question", "answers"),
}
"""Sets of OpenAudioBench, with their columns of questions and of answers."""


def _read_open_audio_bench(config: DataSetConfig) -> Iterator[QuestionItem]:
    root = config.folder / "eval_datas" if (config.folder / "eval_datas").is_dir() else config.folder
    for name, (question, answers) in OPEN_AUDIO_BENCH_SETS.items():
        columns = QuestionColumns(
            audio=("audio_filename",), question=(question,), answers=answers_in(answers), folders=("audios",)
        )
        for table in [root / name / f"{name}.csv", *([root / f"{name}.csv"] if root.name == name else [])]:
            if table.is_file():
                yield from (question_of(row, columns, subset=name) for row in table_rows(table))


def _read_uro_bench(config: DataSetConfig) -> Iterator[QuestionItem]:
    columns = QuestionColumns(
        audio=("source_wav",), question=("source_text",), answers=answers_if_any("target_text"), folders=("", "..")
    )
    for table in tables_below(config.folder):
        if table.suffix == ".jsonl":
            subset = _set_of(table, config.folder)
            yield from (question_of(row, columns, subset=subset) for row in _single_questions(table))


def _single_questions(table: Path) -> Iterator[TableRow]:
    """Rows of a set; none of one with dialogues, which the log then tells."""
    dialogues = 0
    for row in table_rows(table):
        if row.has("dialogue"):
            dialogues += 1
        else:
            yield row
    if dialogues:
        logger.warning("%s: dialogues of several rounds are not asked; %d are passed over", table, dialogues)


def _set_of(table: Path, folder: Path) -> str:
    """Name of a set of URO-Bench: the folder of its table, or the table if it lies at the top."""
    return table.parent.name if table.parent != folder and table != folder else table.stem


OPEN_AUDIO_BENCH = ItemReader(
    expects="eval_datas/<set>/<set>.csv with audio_filename and the set's columns ("
    + "; ".join(f"{name}: {', '.join(columns)}" for name, columns in OPEN_AUDIO_BENCH_SETS.items())
    + "), and eval_datas/<set>/audios/",
    read=_read_open_audio_bench,
)
VOICE_BENCH = ItemReader(
    expects="<set>/<split>-<part>.parquet with the columns audio, prompt and, in some sets, reference",
    read=partial(
        read_questions,
        columns=QuestionColumns(
            audio=("audio",), question=("prompt",), answers=answers_if_any("reference"), id=("key", "id")
        ),
    ),
)
URO_BENCH = ItemReader(
    expects="<set>/<any>.jsonl with the keys source_wav, source_text and, in some sets, target_text",
    read=_read_uro_bench,
)
