"""Cuts corpora into shards and offline tasks, and reads the lines of a task.

A shard is a range of `shard_documents` lines of one file, so it depends on the files only. A task is a file, or several
shards of a large file. Lines are counted only to cut files into tasks; counts are stored beside the parts. Cost: a task
in the middle of a compressed file decompresses everything before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from megatron_speech.artifacts.files import read_json, write_atomic
from megatron_speech.artifacts.left_out import LEAST_JUDGED
from megatron_speech.artifacts.lock import alone
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.artifacts.tasks import tasks_folder
from megatron_speech.config.stages.build_interleaved import BuildInterleavedConfig
from megatron_speech.corpus.files import corpus_files
from megatron_speech.corpus.interface import BadLine, CorpusFile
from megatron_speech.corpus.records import TextDocument, count_records
from megatron_speech.corpus.remote_file import RemoteFile
from megatron_speech.corpus.text_tasks import TextTask, require_few_lines
from megatron_speech.progress import follow

COUNTS = "lines.json"
"""File with the number of lines of each file, with its size and time."""
NOT_SPEAKABLE = "not speakable"
"""Reason for documents that their corpus marks as not speakable, which is not an error."""


@dataclass(frozen=True)
class Line:
    """One line of a task's files."""

    shard: str
    """Name of its shard: number of the file, number of the shard in it."""
    number: int
    """Number of the line in its file, from 1."""
    path: CorpusFile
    found: TextDocument | BadLine


def interleave_tasks(config: BuildInterleavedConfig) -> list[TextTask]:
    """Cut all files of all corpora into tasks, in order; counts lines if `config.documents_per_task` is set.

    Raises:
        FileNotFoundError: a corpus does not exist, or its folder holds no readable kind of file.
        ValueError: a corpus is a file of an unknown kind.
    """
    # Files of all corpora; those of a corpus with `max_documents` form one task.
    places: list[tuple[str, int, list[CorpusFile]]] = []
    num_files = 0
    for name, corpus in config.corpora.items():
        files = corpus_files(name, corpus.path)
        groups = [files] if corpus.max_documents else [[file] for file in files]
        for group in groups:
            places.append((name, num_files, group))
            num_files += len(group)
    # Line counts of the files that may be cut.
    size = config.documents_per_task and -(-config.documents_per_task // config.shard_documents)
    counted = [group[0] for name, _, group in places if not config.corpora[name].max_documents] if size else []
    counts = dict(zip(counted, _counts(counted, tasks_folder(config.output)), strict=True))
    # Tasks of whole shards.
    tasks: list[TextTask] = []
    for name, first_file, group in places:
        for records in _ranges(counts.get(group[0], 0), (size or 0) * config.shard_documents):
            tasks.append(
                TextTask(
                    number=len(tasks),
                    corpus=name,
                    settings=config.corpora[name],
                    files=tuple(group),
                    records=records,
                    first_file=first_file,
                )
            )
    return tasks


def task_lines(task: TextTask, config: BuildInterleavedConfig) -> Iterator[Line]:
    """Yield the lines of a task, up to `max_documents` documents.

    Raises ValueError for a bad line if `on_bad_line` is "error".
    """
    left = task.settings.max_documents
    for index, number, found in task.read():
        if left == 0:
            return
        path = task.files[index]
        found = _judged(found, path, number)
        if isinstance(found, TextDocument):
            left = None if left is None else left - 1
        elif config.on_bad_line == "error" and found.reason != NOT_SPEAKABLE:
            raise ValueError(found.message)
        yield Line(f"{task.first_file + index:05d}-{(number - 1) // config.shard_documents:05d}", number, path, found)


def count_documents(task: TextTask, config: BuildInterleavedConfig) -> int:
    """Count the documents of a task; ValueError if too many of its lines are bad, or as `task_lines`."""
    documents = 0
    bad: list[BadLine] = []
    for line in task_lines(task, config):
        if isinstance(line.found, TextDocument):
            documents += 1
        elif line.found.reason != NOT_SPEAKABLE:
            bad.append(line.found)
    if documents + len(bad) >= LEAST_JUDGED:
        require_few_lines(bad, documents + len(bad), config.max_quarantined_share)
    return documents


def _judged(found: TextDocument | BadLine, path: CorpusFile, number: int) -> TextDocument | BadLine:
    """Replace a document by a BadLine if its metadata key `speakable` is false, or is not a boolean."""
    speakable = found.metadata.get("speakable", True) if isinstance(found, TextDocument) else True
    if speakable is True:
        return found
    if speakable is False:
        return BadLine(reason=NOT_SPEAKABLE, message=f"{path}:{number}: metadata.speakable is false")
    message = f"{path}:{number}: metadata.speakable={speakable!r} must be true or false; fix the corpus"
    return BadLine(reason="speakable", message=message)


def _ranges(lines: int, size: int) -> list[tuple[int, int | None]]:
    """Half-open ranges of `size` lines; the last one has no end."""
    starts = range(0, lines, size) if size and lines else (0,)
    return [(start, start + size if start + size < lines else None) for start in starts]


def _counts(files: Sequence[CorpusFile], folder: Path) -> list[int]:
    """Number of lines of each file; reads only files that changed since they were counted."""
    if not files:
        return []
    path = folder / COUNTS
    folder.mkdir(parents=True, exist_ok=True)
    with alone(path):
        known = read_json(path) if path.is_file() else {}
        for file in follow(files, "build_interleaved: count lines", unit="files", late=True):
            stamp = _stamp(file)
            if known.get(str(file), [])[:2] != stamp:
                known[str(file)] = [*stamp, count_records(file)]
                write_atomic(path, to_json(known))
    return [known[str(file)][2] for file in files]


def _stamp(file: CorpusFile) -> list[int | str]:
    """Size and time of a file (identity of a remote one), which change with its content."""
    if isinstance(file, RemoteFile):
        return [file.size, file.identity]
    return [file.stat().st_size, file.stat().st_mtime_ns]
