"""What files a corpus has, and how they are cut into tasks: by the files alone, so no worker changes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from megatron_speech.config.tokens import TextCorpusConfig
from megatron_speech.data.corpus import FILE_KINDS, BadLine, RecordLayout, TextDocument, first_keys, read_records

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
    files: tuple[Path, ...]
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
        if corpus.path.is_dir() and output.resolve().is_relative_to(corpus.path.resolve()):
            raise ValueError(
                f"output={output} lies in corpora.{name}.path={corpus.path}, of which every file is read; choose a "
                "folder outside"
            )


def unseen_keys(tasks: Sequence[TextTask]) -> Iterator[str]:
    """A line on every of the metadata_keys that the beginning of its corpus does not have: perhaps misspelt.

    A column that a Parquet file lacks is an error when it is read.
    """
    for name, task in {task.corpus: task for task in reversed(tasks)}.items():
        path = task.files[0]
        if not task.settings.metadata_keys or path.suffix == ".parquet":
            continue
        found = first_keys(path, lines=FIRST_LINES)
        for key in task.settings.metadata_keys:
            if found and key not in found:
                yield (
                    f"corpora.{name}.metadata_keys: {key!r} stands in none of the first {FIRST_LINES} lines of {path}, "
                    f"whose keys are {', '.join(found)}; correct it if no other line has it"
                )


def corpus_files(name: str, path: Path) -> list[Path]:
    """The files of the corpus at `path` in the order of their names below it."""
    if path.is_file():
        if not path.name.endswith(FILE_KINDS):
            raise ValueError(f"corpora.{name}.path={path} must end in one of {', '.join(FILE_KINDS)}; convert it")
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"corpora.{name}.path={path} does not exist; run the stage which writes it")
    entries = list(path.rglob("*"))
    if linked := next((entry for entry in entries if entry.is_symlink() and entry.is_dir()), None):
        raise ValueError(
            f"{linked} is a link to a folder, which is not followed; make it a corpus of its own, or link its files"
        )
    files = [file for file in entries if file.name.endswith(FILE_KINDS) and file.is_file()]
    if not files:
        raise FileNotFoundError(f"corpora.{name}.path={path} holds no file that ends in {', '.join(FILE_KINDS)}")
    return sorted(files, key=lambda file: relative_name(file, path))


def relative_name(file: Path, corpus: Path) -> str:
    """What a file is called within its corpus, wherever that lies."""
    return file.name if file == corpus else file.relative_to(corpus).as_posix()
