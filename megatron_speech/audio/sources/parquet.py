"""Reader for Parquet files of speech as on the Hugging Face Hub: one row per utterance, with the recording's bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from megatron_speech.audio.sources.columns import Columns
from megatron_speech.audio.sources.listed import ListedUtterance

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

ROWS_AT_ONCE = 64


def parquet_shape(path: Path) -> tuple[list[str], int]:
    """Names of the columns, and number of rows; ValueError if it is not a Parquet file or repeats a column."""
    file = _open(path)
    names = file.schema_arrow.names
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise ValueError(f"{path}: has the column {repeated[0]!r} twice; rename one")
    return names, file.metadata.num_rows


def parquet_ids(path: Path, column: str) -> Iterator[tuple[str, str]]:
    """Place and id of every row with an id in `column`; reads only this column."""
    file = _open(path)
    for row, cells in _rows(file, path, [column], start=0, stop=file.metadata.num_rows):
        if isinstance(cells[column], str | int) and cells[column] != "":
            yield f"{path}:{row + 1}", str(cells[column])


def parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Place and cells of every row, recordings included."""
    file = _open(path)
    names = file.schema_arrow.names
    for row, cells in _rows(file, path, names, start=0, stop=file.metadata.num_rows):
        yield f"{path}:{row + 1}", cells


def read_parquet(path: Path, columns: Columns, *, start: int, stop: int, first: int) -> Iterator[ListedUtterance]:
    """Utterances of rows `start` to `stop`; row 0 of the file is row `first` of the table.

    Columns of bytes other than the recording are dropped. Values without a JSON type are kept as text.
    """
    file = _open(path)
    names = [field.name for field in file.schema_arrow if field.name == columns.audio or not _has_bytes(field.type)]
    as_they_are = {columns.audio, *(column for column, _ in columns.times.values())}  # a NaN time stays an error
    for row, values in _rows(file, path, names, start=start, stop=stop):
        cells = {key: value if key in as_they_are else _plain(value) for key, value in values.items()}
        yield columns.streamed(cells, place=f"{path}:{row + 1}", name=f"{first + row:09d}")


def _rows(
    file: pyarrow.parquet.ParquetFile, path: Path, columns: list[str], *, start: int, stop: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and cells of rows `start` to `stop`; raises ValueError if the file is damaged there."""
    import pyarrow

    row = 0
    try:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if row + rows <= start or row >= stop:
                row += rows
                continue
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, row_groups=[group], columns=columns):
                begin, end = max(start - row, 0), min(stop - row, len(batch))
                if begin < end:
                    yield from enumerate(batch.slice(begin, end - begin).to_pylist(), start=row + begin)
                row += len(batch)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def _open(path: Path) -> pyarrow.parquet.ParquetFile:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(f"{path}: Parquet needs pyarrow; pip install 'megatron-speech[corpus]'") from error
    try:
        file = pyarrow.parquet.ParquetFile(path, page_checksum_verification=True)
        _ = file.schema_arrow.names
        return file
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: damaged, or no Parquet ({' '.join(str(error).split())}); copy it again")


def _has_bytes(kind: pyarrow.DataType) -> bool:
    import pyarrow.types as types

    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return True
    return any(_has_bytes(kind.field(number).type) for number in range(kind.num_fields))


def _plain(value: Any) -> Any:
    """Convert a cell to JSON types; NaN and infinities become None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)
