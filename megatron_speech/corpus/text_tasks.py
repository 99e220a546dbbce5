"""Tasks of text corpora: groups of consecutive files; they do not depend on the number of workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from megatron_speech.artifacts.left_out import require_few
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.corpus.files import corpus_files, reads_into, relative_name
from megatron_speech.corpus.interface import BadLine, CorpusFile
from megatron_speech.corpus.read_share import ReadShare
from megatron_speech.corpus.records import RecordLayout, TextDocument, first_keys, read_records
from megatron_speech.corpus.table import reader_of

FIRST_LINES = 100
"""Number of lines that `unseen_keys` reads."""


@dataclass(frozen=True, kw_only=True)
class TextTask:
    """Consecutive files of one corpus, read as one unit of offline work."""

    number: int
    """Index among the tasks of all corpora."""
    corpus: str
    """Name of the corpus."""
    settings: TextCorpusConfig
    """Settings of the corpus."""
    files: tuple[CorpusFile, ...]
    """Files in reading order."""
    records: tuple[int, int | None] = (0, None)
    """Range of lines (from 0, half-open) that the task reads of each file; None is the end of the file."""
    first_file: int = 0
    """Index of the first file among the files of all corpora."""

    def read(self, watched: ReadShare | None = None) -> Iterator[tuple[int, int, TextDocument | BadLine]]:
        """Index of the file, line number (from 1), and document or `BadLine` of every line of the task.

        `watched` is made of the task's files.
        """
        for index, path in enumerate(watched.files if watched else self.files):
            layout = RecordLayout(
                text_key=self.settings.text_key,
                id_key=self.settings.id_key,
                derived_ids=f"{self.corpus}/{relative_name(path, self.settings.path)}",
                metadata_keys=self.settings.metadata_keys,
            )
            for number, document in read_records(path, layout, first=self.records[0], end=self.records[1]):
                yield index, number, document


def named(corpora: Mapping[str, TextCorpusConfig]) -> str:
    """The corpora as progress names them: `books, web (first 20 documents)`."""
    limits = {name: corpus.max_documents for name, corpus in corpora.items()}
    return ", ".join(f"{name} (first {limit:,} documents)" if limit else name for name, limit in limits.items())


def text_tasks(corpora: Mapping[str, TextCorpusConfig], *, files_per_task: int = 1) -> list[TextTask]:
    """Group the files of all corpora into tasks of `files_per_task` files, in order.

    A corpus with `max_documents` becomes one task, because one process has to count its documents.

    Raises as `corpus_files`.
    """
    tasks: list[TextTask] = []
    for name, corpus in corpora.items():
        files = iter(corpus_files(name, corpus.path))
        size = None if corpus.max_documents else files_per_task
        while group := tuple(islice(files, size)):
            tasks.append(TextTask(number=len(tasks), corpus=name, settings=corpus, files=group))
    return tasks


def require_apart(corpora: Mapping[str, TextCorpusConfig], output: Path) -> None:
    """Raise ValueError if `output` is inside a corpus, where its files would be read as documents."""
    for name, corpus in corpora.items():
        path = corpus.path
        if reads_into(path, output):
            raise ValueError(
                f"output={output} lies in corpora.{name}.path={path}, where every file is read; choose a folder outside"
            )


def require_few_lines(lines: Sequence[BadLine], read: int, share: float) -> None:
    """Raise ValueError if the left-out `lines` are more than one and more than `share` of the `read` lines."""
    if lines:
        reasons = Counter(line.reason for line in lines)
        require_few(reasons, read, share, what="lines", first=lines[0].message, remedy="mend the corpus")


def require_readable_columns(tasks: Sequence[TextTask]) -> None:
    """Raise ValueError if the first file of a Parquet corpus lacks a column or has one of an unusable type.

    Every file is checked again when it is read; this check finds mistakes before the work begins.
    """
    for task in {task.corpus: task for task in reversed(tasks)}.values():
        if require_keys := reader_of(task.files[0]).require_keys:
            require_keys(task.files[0], task.settings)


def unseen_keys(tasks: Sequence[TextTask]) -> Iterator[str]:
    """Warnings for `metadata_keys` that do not occur in the first FIRST_LINES lines (probably misspelt).

    Parquet is left out, because reading raises an error for a missing column.
    """
    for name, task in {task.corpus: task for task in reversed(tasks)}.items():
        path = task.files[0]
        if not task.settings.metadata_keys or reader_of(path).require_keys:
            continue
        found = first_keys(path, lines=FIRST_LINES)
        for key in task.settings.metadata_keys:
            if found and key not in found:
                yield (
                    f"corpora.{name}.metadata_keys: {key!r} does not occur in the first {FIRST_LINES} lines of "
                    f"{path}, which have the keys {', '.join(found)}; correct it unless a later line has it"
                )
