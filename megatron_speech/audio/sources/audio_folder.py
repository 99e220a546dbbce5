"""Layout of Hugging Face's AudioFolder: a table metadata.csv, .tsv or .jsonl next to the recordings."""

from __future__ import annotations

from pathlib import Path

from megatron_speech.artifacts.manifest import input_ids
from megatron_speech.audio.sources.interface import FolderContents, FolderLayout
from megatron_speech.audio.sources.rows import read_tables, utterances_of_rows
from megatron_speech.audio.sources.tables import JSON_LINES, SEPARATED, kind_of
from megatron_speech.config.stages.import_speech import ImportSpeechConfig


def _find(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("metadata.*")) if kind_of(path) in (*JSON_LINES, *SEPARATED)]


def _read(folder: Path, files: list[Path], config: ImportSpeechConfig, first: int) -> FolderContents:
    if len(files) > 1:
        names = " and ".join(path.name for path in files)
        raise ValueError(f"table={folder}: holds {names}, which may say different things; name one of them")
    utterances = utterances_of_rows(read_tables(files), config, first=first)
    return FolderContents(inputs=input_ids(files), utterances=utterances)


AUDIO_FOLDER = FolderLayout(sign="metadata.csv or .jsonl", find=_find, read=_read, has_columns=True)
