"""Recordings with transcripts: LibriSpeech, AISHELL-1, and FLEURS (as Parquet, or as .tsv with .tar.gz or folders)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from megatron_speech.audio.sources.archive import read_files
from megatron_speech.audio.sources.folders import read_librispeech, transcript_files
from megatron_speech.audio.sources.tables import read_lines
from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.files import visible_files
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import TranscriptItem, spoken
from megatron_speech.evaluation.data_sets.tables import name_of_table, numbered_rows, tables_below

FLEURS_COLUMNS = 7
"""Columns of FLEURS' tables, which have no header: id, file, raw transcription, transcription, ..."""


def _read_librispeech(config: DataSetConfig) -> Iterator[TranscriptItem]:
    for listed in read_librispeech(transcript_files(config.folder)):
        if listed.text is None:
            raise ValueError(f"{listed.place}: has no transcript in {listed.name.rpartition('-')[0]}.trans.txt; add it")
        assert not isinstance(listed.audio, bytes), "LibriSpeech lies in files"
        yield TranscriptItem(id=listed.name, speech=spoken(listed.audio, listed.text))


def _read_aishell(config: DataSetConfig) -> Iterator[TranscriptItem]:
    transcripts = visible_files(config.folder, "aishell_transcript*.txt")
    if not transcripts:
        return
    texts = {}
    for _, line in read_lines(transcripts[0]):
        name, _, words = line.partition(" ")
        texts[name] = words
    # The transcript lists all splits; those whose folder is there are read.
    files = {path.stem: path for path in visible_files(transcripts[0].parent.parent, "*.wav")}
    splits = sorted({path.parents[1] for path in files.values()}, key=str)
    speakers = {path.parent.name: path.parent for path in files.values()}
    for name in sorted({*files, *(name for name in texts if _speaker(name) in speakers)}):
        if name not in texts:
            raise ValueError(f"{files[name]}: has no line in {transcripts[0]}; add its words")
        folder = speakers[_speaker(name)]
        subset = folder.parent.name if len(splits) > 1 else ""
        words = texts[name].replace(" ", "")
        yield TranscriptItem(id=name, subset=subset, speech=spoken(files.get(name), words))


def _speaker(name: str) -> str:
    """Folder of an utterance of AISHELL-1: S0002 of BAC009S0002W0122."""
    return name[6:11]


def _read_fleurs(config: DataSetConfig) -> Iterator[TranscriptItem]:
    tables = tables_below(config.folder)
    for table in tables:
        if table.suffix == ".tsv":
            yield from _read_fleurs_tsv(table, name_of_table(table, config.folder))
    # An id is that of a sentence, which several people say.
    for subset, row in numbered_rows([table for table in tables if table.suffix == ".parquet"], config.folder):
        speech = row.passage(("audio",), row.text("transcription"))
        notes = row.notes("audio", "transcription")
        yield TranscriptItem(id=f"{subset}/{row.number}", subset=subset, speech=speech, notes=notes)


def _read_fleurs_tsv(table: Path, subset: str) -> Iterator[TranscriptItem]:
    packed = table.parent / "audio" / f"{table.stem}.tar.gz"
    held = {Path(name).name: data for _, name, data in read_files(packed)} if packed.is_file() else {}
    for place, line in read_lines(table):
        cells = line.split("\t")
        if len(cells) != FLEURS_COLUMNS:
            raise ValueError(f"{place}: {len(cells)} columns, {FLEURS_COLUMNS} are expected: id, file, raw, text, ...")
        file = cells[1]
        found = held.get(file) or next((path for path in _places(table, file) if path.is_file()), None)
        notes = {"raw_transcription": cells[2]}
        yield TranscriptItem(id=f"{subset}/{file}", subset=subset, speech=spoken(found, cells[3]), notes=notes)


def _places(table: Path, file: str) -> list[Path]:
    return [table.parent / "audio" / table.stem / file, table.parent / table.stem / file]


LIBRISPEECH = ItemReader(
    expects="<speaker>/<chapter>/*.flac with <speaker>-<chapter>.trans.txt", read=_read_librispeech
)
AISHELL = ItemReader(
    expects="data_aishell/transcript/aishell_transcript_v0.8.txt and data_aishell/wav/<split>/<speaker>/*.wav",
    read=_read_aishell,
)
FLEURS = ItemReader(
    expects="Parquet with the columns audio, transcription, or <split>.tsv with audio/<split>.tar.gz (or its folder)",
    read=_read_fleurs,
)
