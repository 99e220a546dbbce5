"""Checks the training task of a source against what its rows hold: `task: text` on interleaved rows is a mistake."""

from __future__ import annotations

from pathlib import Path

from megatron_speech.config.run.data import SourceConfig
from megatron_speech.config.run.reader import is_url
from megatron_speech.data.shards.index import FolderIndex
from megatron_speech.data.shards.rows import RowFolder
from megatron_speech.vocabulary import RECOGNIZE, SYNTHESIZE, Vocabulary

_MARKS = {RECOGNIZE: "recognition", SYNTHESIZE: "synthesis"}
"""Special token that begins each document of a task."""


def require_contents(key: str, source: SourceConfig, index: FolderIndex, vocabulary: Vocabulary) -> None:
    """Raise ValueError if the rows of `source` cannot be documents of its task; `key` is the source's path.

    The counts of the folder tell text from speech. The first document of a local folder tells the tasks with a token
    of their own from the others.
    """
    given = f"{key}.task={source.task}, but {source.folder} holds"
    if source.task == "text" and index.speech_tokens:
        raise ValueError(f"{given} {index.speech_tokens:,} speech tokens; set the task of its documents")
    if source.task != "text" and not index.speech_tokens:
        raise ValueError(f"{given} no speech; set the task text, or correct the folder")
    task = "" if is_url(source.folder) or not index.items else _task_of_first_row(Path(source.folder), vocabulary)
    if task and source.task != task:
        raise ValueError(f"{given} documents of {task}; set the task {task}, or correct the folder")


def _task_of_first_row(folder: Path, vocabulary: Vocabulary) -> str:
    """Task whose token begins the first document; empty if none does, or if the row cannot be read.

    Reading it again, and counting what is damaged, is for the training.
    """
    try:
        first = RowFolder(folder).row(0).tokens[len(vocabulary.begin_of_document)]
    except (ValueError, OSError):
        return ""
    marks = {vocabulary.special_id(token): task for token, task in _MARKS.items() if token in vocabulary.special_tokens}
    return marks.get(int(first), "")
