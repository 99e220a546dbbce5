"""Divide an import into parts, one per shard, after finding the layout of the corpus."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from glob import glob
from pathlib import Path

from megatron_speech.artifacts.manifest import input_ids
from megatron_speech.audio.sources.folder_table import FOLDERS
from megatron_speech.audio.sources.interface import Read
from megatron_speech.audio.sources.layouts import LAYOUTS, find_columns
from megatron_speech.audio.sources.lhotse import is_lhotse, read_lhotse, recordings_file
from megatron_speech.audio.sources.listed import ListedUtterance, require_new
from megatron_speech.audio.sources.parquet import parquet_ids, parquet_shape, read_parquet
from megatron_speech.audio.sources.rows import columns_of, glances, read_tables, utterances_of_rows
from megatron_speech.audio.sources.tables import JSON_LINES, SEPARATED, Row, kind_of
from megatron_speech.audio.sources.tars import TarredRow, read_tar, read_tarred
from megatron_speech.audio.sources.wholes import Whole, require_one_text, whole_of
from megatron_speech.config.stages.import_speech import ImportSpeechConfig

Found = tuple[list[Read], dict[str, str]]
"""A reader for each shard, and the identities of the files that list the utterances."""
LHOTSE = "lhotse"
"""Layout of Lhotse manifests, which have no columns to map."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """The listed utterances of one shard."""

    number: int
    read: Read
    """Yields the utterances in order; called in the process that writes the shard."""
    utterances: int | None = None
    """Number of utterances; None if it is not known before they are read."""


def find_parts(config: ImportSpeechConfig) -> tuple[list[Part], dict[str, str]]:
    """Parts of the import, and the identities of their input files.

    Raises:
        FileNotFoundError: a table, folder or tar is missing.
        ValueError: a row is invalid, an id repeats, or the layout is not certain (names the columns or files found).
    """
    known = list(dict.fromkeys(["auto", *LAYOUTS, LHOTSE, *FOLDERS]))
    if config.layout not in known:
        raise ValueError(f"layout={config.layout} must be one of {', '.join(known)}; correct it")
    tars = _matching("tars", config.tars) if config.tars is not None else []
    tables = _matching("table", str(config.table)) if config.table is not None else []
    if not tables:
        reads: list[Read] = [partial(read_tar, tar, config) for tar in tars]
        inputs: dict[str, str] = {}
    elif all(table.is_dir() for table in tables):
        reads, inputs = _of_folders(tables, config)
    else:
        reads, inputs = _of_tables(tables, tars, config)
    parts = [
        Part(number=number, read=read, utterances=len(read) if isinstance(read, _CountedRead) else None)
        for number, read in enumerate(reads)
    ]
    return parts, inputs | glances(tars)


@dataclass(frozen=True)
class _CountedRead:
    """A reader that knows how many utterances it yields."""

    read: Read
    utterances: int

    def __call__(self) -> Iterable[ListedUtterance]:
        return self.read()

    def __len__(self) -> int:
        return self.utterances


def _of_tables(tables: Sequence[Path], tars: Sequence[Path], config: ImportSpeechConfig) -> Found:
    kinds = {kind_of(table) for table in tables}
    if kinds == {".parquet"}:
        return _of_parquet(tables, config), glances(tables)
    unknown = sorted(kinds - {*JSON_LINES, *SEPARATED})
    if unknown:
        raise ValueError(
            f"table={config.table} ends in {unknown[0] or 'nothing'}; a table must end in .jsonl, .json, .csv or .tsv "
            "(or so with .gz), or all of them in .parquet; convert it"
        )
    rows = read_tables(tables)
    if tars:
        return _of_tarred(rows, tars, config), input_ids(tables)
    if config.layout == LHOTSE or (config.layout == "auto" and is_lhotse(columns_of(rows))):
        _require_unmapped(config, LHOTSE)
        found = [one for table in tables for one in read_lhotse(rows[table], table, config.root or table.parent)]
        files = [path for table in tables for path in {table, recordings_file(table)} if path.is_file()]
        return _in_shards(found, config), input_ids(sorted(files))
    return _in_shards(utterances_of_rows(rows, config), config), input_ids(tables)


def _of_parquet(tables: Sequence[Path], config: ImportSpeechConfig) -> list[Read]:
    reads: list[Read] = []
    places: dict[str, str] = {}
    first = 0
    for table in tables:
        found, count = parquet_shape(table)
        columns = find_columns(found, config, table=table)
        if columns.id in found and columns.id != columns.audio:
            for place, name in parquet_ids(table, columns.id):
                require_new(name, place, places)
        for start in range(0, count, config.utterances_per_shard):
            stop = min(start + config.utterances_per_shard, count)
            read = partial(read_parquet, table, columns, start=start, stop=stop, first=first)
            reads.append(_CountedRead(read, stop - start))
        first += count
    if not reads:
        raise ValueError(f"table={config.table}: holds no row; correct the path")
    return reads


def _of_tarred(rows: dict[Path, list[Row]], tars: Sequence[Path], config: ImportSpeechConfig) -> list[Read]:
    """A reader for each tar, with its rows of the tables."""
    columns = find_columns(columns_of(rows), config, table=next(iter(rows)))
    groups: dict[Path, list[TarredRow]] = {tar: [] for tar in tars}
    count = 0
    for table in rows:
        for place, row in rows[table]:
            member = row.get(columns.audio)
            if not isinstance(member, str):
                raise ValueError(f"{place}: must name a member of the tar as {columns.audio!r}; correct the line")
            tar = _tar_of(row, place, table, tars)
            groups[tar].append(TarredRow(member=member, place=place, name=f"{count:09d}", row=row))
            count += 1
    return [_CountedRead(partial(read_tarred, tar, tuple(group), columns), len(group)) for tar, group in groups.items()]


def _tar_of(row: dict[str, object], place: str, table: Path, tars: Sequence[Path]) -> Path:
    """Tar with the recording of a row: the only one, or else found by the row's `shard_id` or the table's name."""
    if len(tars) == 1:
        return tars[0]
    if "shard_id" in row:
        number = str(row["shard_id"]).lstrip("0")
        fits = [tar for tar in tars if [n.lstrip("0") for n in re.findall(r"\d+", _stem(tar))[-1:]] == [number]]
        rule = f"{'several' if fits else 'no'} tar's name ends in the number of shard_id={row['shard_id']!r}"
    else:
        fits = [tar for tar in tars if _stem(tar) == _stem(table)]
        rule = "the row has no shard_id, and no tar is named as its table is"
    if len(fits) != 1:
        raise ValueError(f"{place}: {rule}; give the tar of this table, or add shard_id")
    return fits[0]


def _of_folders(folders: Sequence[Path], config: ImportSpeechConfig) -> Found:
    utterances: list[ListedUtterance] = []
    reads: list[Read] = []
    inputs: dict[str, str] = {}
    for folder in folders:
        name, files = _folder_layout(folder, config.layout)
        if not FOLDERS[name].has_columns:
            _require_unmapped(config, name)
        contents = FOLDERS[name].read(folder, files, config, len(utterances))
        utterances += contents.utterances
        reads += contents.reads
        inputs |= contents.inputs
    return [*_in_shards(utterances, config), *reads], inputs


def _folder_layout(folder: Path, wanted: str) -> tuple[str, list[Path]]:
    """Layout of a folder, and the files that list its contents; ValueError if no layout or several fit."""
    found = {name: layout.find(folder) for name, layout in FOLDERS.items() if wanted in ("auto", name)}
    fits = [name for name, files in found.items() if files]
    if len(fits) != 1:
        names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") or "nothing"
        known = ", ".join(f"{name} ({layout.sign})" for name, layout in FOLDERS.items())
        raise ValueError(
            f"table={folder}: holds {shown}, which fits {' and '.join(fits) or 'no'} layout={wanted} of a folder "
            f"(known: {known}); name the table in it, a pattern such as '*.parquet', or the layout"
        )
    return fits[0], found[fits[0]]


def _require_unmapped(config: ImportSpeechConfig, layout: str) -> None:
    if config.columns or {*config.metadata} - {"text"}:
        raise ValueError(f"columns and metadata are for tables; layout {layout} has fixed fields; leave them out")


def _in_shards(found: Sequence[ListedUtterance], config: ImportSpeechConfig) -> list[Read]:
    """A reader for each shard; raises ValueError (names both places) if an id or a whole recording repeats."""
    places: dict[str, str] = {}
    wholes: dict[str, Whole] = {}
    for listed in found:
        require_new(listed.name, listed.place, places)
        if (whole := whole_of(listed, config)) is not None:
            require_one_text(whole, wholes, config)
    size = config.utterances_per_shard
    shards = [tuple(found[start : start + size]) for start in range(0, len(found), size)]
    return [_CountedRead(partial(tuple, shard), len(shard)) for shard in shards]


def _matching(setting: str, pattern: str) -> list[Path]:
    """The path itself, or all paths that match it as a pattern, sorted."""
    if Path(pattern).exists():
        return [Path(pattern)]
    paths = [Path(name) for name in sorted(glob(pattern, recursive=True))]  # noqa: PTH207 (a pattern may be absolute)
    if not paths:
        what = (
            "fits no file; correct the pattern"
            if setting == "tars" or "*" in pattern
            else "does not exist; correct the path"
        )
        raise FileNotFoundError(f"{setting}={pattern} {what}")
    return paths


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]
