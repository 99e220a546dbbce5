"""What files a corpus has, and how they are cut into tasks: by the files alone, so no worker changes it."""

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
from megatron_speech.corpus.records import RecordLayout, TextDocument, first_keys, read_records
from megatron_speech.corpus.table import reader_of

FIRST_LINES = 100
"""Lines in which keys are looked for before the work begins."""


@dataclass(frozen=True, kw_only=True)
class TextTask:
    """Consecutive files of one corpus, tokenized in one go."""

    number: int
    """Place of its documents among all tasks'."""
    corpus: str
    """Name of the corpus."""
    settings: TextCorpusConfig
    """How the corpus is read."""
    files: tuple[CorpusFile, ...]
    """In order."""
    records: tuple[int, int | None] = (0, None)
    """Lines of a single file that are the task's, half-open, from 0; None is the end of the file."""
    first_file: int = 0
    """Place of its first file among all corpora's."""

    def read(self) -> Iterator[tuple[int, int, TextDocument | BadLine]]:
        """Index of the file, number of the line, and the document or what is wrong, for every line of the task."""
        for index, path in enumerate(self.files):
            layout = RecordLayout(
                text_key=self.settings.text_key,
                id_key=self.settings.id_key,
                derived_ids=f"{self.corpus}/{relative_name(path, self.settings.path)}",
                metadata_keys=self.settings.metadata_keys,
            )
            for number, document in read_records(path, layout, first=self.records[0], end=self.records[1]):
                yield index, number, document


def text_tasks(corpora: Mapping[str, TextCorpusConfig], *, files_per_task: int = 1) -> list[TextTask]:
    """Every file of every corpus, in order, grouped into tasks.

    Raises:
        FileNotFoundError: a corpus does not exist, or a folder holds no file of a kind that is read.
        ValueError: a corpus is a file of another kind, or holds a link to a folder.
    """
    tasks: list[TextTask] = []
    for name, corpus in corpora.items():
        files = iter(corpus_files(name, corpus.path))
        size = None if corpus.max_documents else files_per_task
        while group := tuple(islice(files, size)):
            tasks.append(TextTask(number=len(tasks), corpus=name, settings=corpus, files=group))
    return tasks


def require_apart(corpora: Mapping[str, TextCorpusConfig], output: Path) -> None:
    """ValueError where `output` would lie in a corpus' folder, of which every file is read."""
    for name, corpus in corpora.items():
        path = corpus.path
        if reads_into(path, output):
            raise ValueError(
                f"output={output} lies in corpora.{name}.path={path}, of which every file is read; choose a "
                "folder outside"
            )


def require_few_lines(lines: Sequence[BadLine], read: int, share: float) -> None:
    """ValueError where more than `share` of the lines that were read (and more than one) are left out."""
    if lines:
        reasons = Counter(line.reason for line in lines)
        require_few(reasons, read, share, what="lines", first=lines[0].message, remedy="mend the corpus")


def require_readable_columns(tasks: Sequence[TextTask]) -> None:
    """ValueError naming a column that the first file of a corpus lacks, as Parquet tells, or that no JSON can hold.

    Every file is looked at when it is read; this shows a mistake before the work begins.
    """
    for task in {task.corpus: task for task in reversed(tasks)}.values():
        if require_keys := reader_of(task.files[0]).require_keys:
            require_keys(task.files[0], task.settings)


def unseen_keys(tasks: Sequence[TextTask]) -> Iterator[str]:
    """A line on every of the metadata_keys that the beginning of its corpus does not have: perhaps misspelt.

    A column that a Parquet file lacks is an error when it is read.
    """
    for name, task in {task.corpus: task for task in reversed(tasks)}.items():
        path = task.files[0]
        if not task.settings.metadata_keys or reader_of(path).require_keys:
            continue
        found = first_keys(path, lines=FIRST_LINES)
        for key in task.settings.metadata_keys:
            if found and key not in found:
                yield (
                    f"corpora.{name}.metadata_keys: {key!r} stands in none of the first {FIRST_LINES} lines of {path}, "
                    f"whose keys are {', '.join(found)}; correct it if no other line has it"
                )
