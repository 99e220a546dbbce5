"""Parquet rows with values that JSON can represent; other columns are refused by name before the first row is read.

Times, dates and decimals become text without loss, in Arrow's format (``2024-05-01 12:00:00.000000``, ``1.50``).
A map with text keys becomes an object. Bytes, durations, unions and maps with other keys have no unique text form, so
the user has to convert such columns. A column name that occurs twice is refused. A row with NaN or an infinity is a
bad row, like such a JSON line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from megatron_speech.artifacts.plain_json import not_finite
from megatron_speech.corpus.interface import BadLine, CorpusFile, RawRecord, RecordKeys, RecordReader

BATCH_ROWS = 1024
"""Rows per record batch."""


@contextmanager
def parquet_file(file: IO[bytes], *, name: str) -> Iterator[Any]:
    """Open a Parquet file; ValueError (with `name`) if pyarrow is missing or the file is damaged."""
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ValueError(f"{name}: reading Parquet needs pyarrow; pip install 'megatron-speech[corpus]'") from error
    try:
        with parquet.ParquetFile(file) as opened:
            yield opened
    except (ArrowException, OSError) as error:
        raise ValueError(f"{name}: damaged, or no Parquet file ({error}); restore the file") from error


def read_rows(path: CorpusFile, columns: RecordKeys) -> Iterator[RawRecord]:
    """Rows as dictionaries of `columns` and ``metadata``; an error takes the place of a row that cannot be read.

    Raises:
        ValueError: the file is damaged, or a column is refused (`require_columns`).
    """
    with path.open("rb") as file, parquet_file(file, name=str(path)) as opened:
        types = _types(opened.schema_arrow, columns, name=str(path))
        for batch in opened.iter_batches(batch_size=BATCH_ROWS, columns=list(types)):
            for row in _rows(batch, types):
                no_json = isinstance(row, ValueError) and not isinstance(row, UnicodeDecodeError)
                yield BadLine(reason="not JSON", message=str(row)) if no_json else row


def count_rows(path: CorpusFile) -> int:
    """Number of rows stated by the file."""
    rows: int
    with path.open("rb") as file, parquet_file(file, name=str(path)) as opened:
        rows = opened.metadata.num_rows
    return rows


def require_columns(path: CorpusFile, columns: RecordKeys) -> None:
    """Raise ValueError if a column is missing, occurs twice, or has a type that JSON cannot represent."""
    with path.open("rb") as file, parquet_file(file, name=str(path)) as opened:
        _types(opened.schema_arrow, columns, name=str(path))


PARQUET = RecordReader(records=read_rows, count=count_rows, require_keys=require_columns)


def _types(schema: Any, columns: RecordKeys, *, name: str) -> dict[str, Any]:
    """Target Arrow type of each column to read."""
    asked = [key for key in (columns.text_key, columns.id_key, *columns.metadata_keys) if key is not None]
    if lacking := [key for key in asked if key not in schema.names]:
        raise ValueError(
            f"{name}: no column {lacking[0]!r} among {', '.join(schema.names)}; set text_key, id_key (null derives "
            "ids) or metadata_keys to columns that it has"
        )
    wanted = list(dict.fromkeys([*asked, "metadata"] if "metadata" in schema.names else asked))
    if twice := [key for key in wanted if schema.names.count(key) > 1]:
        count = schema.names.count(twice[0])
        raise ValueError(f"{name}: {count} columns are named {twice[0]!r}; rename all but one")
    types = {key: _readable(schema.field(key).type, f"{name}: column {key!r}") for key in wanted}
    _require(_is_text(types[columns.text_key]), name, columns.text_key, schema, "text")
    if key := columns.id_key:
        _require(_is_text(types[key]) or _is_integer(types[key]), name, key, schema, "text or an integer")
    return types


def _rows(batch: Any, types: dict[str, Any]) -> Iterator[dict[str, Any] | ValueError]:
    """Rows of a record batch; converted one by one if a text is not UTF-8 or a map repeats a key."""
    with_floats = [key for key, type_ in types.items() if "float" in str(type_) or "double" in str(type_)]
    try:
        columns = [batch.column(key).cast(type_).to_pylist(maps_as_pydicts="strict") for key, type_ in types.items()]
    except (UnicodeDecodeError, KeyError) as error:
        if len(batch) == 1:
            yield error if isinstance(error, UnicodeDecodeError) else ValueError(f"a map has a key twice ({error})")
        else:
            for row in range(len(batch)):
                yield from _rows(batch.slice(row, 1), types)
        return
    for values in zip(*columns, strict=True):
        found = dict(zip(types, values, strict=True))
        number = not_finite({key: found[key] for key in with_floats}) if with_floats else None
        yield found if number is None else ValueError(f"{number} is no finite number and no JSON; write null or text")


def _readable(found: Any, place: str) -> Any:
    """Arrow type to which values of type `found` are cast for JSON; ValueError if there is none."""
    from pyarrow import BaseExtensionType, field, large_list, list_, map_, string, struct, types

    # Wrappers, and types that are cast to text.
    if isinstance(found, BaseExtensionType):
        return _readable(found.storage_type, place)
    if types.is_dictionary(found):
        return _readable(found.value_type, place)
    if types.is_temporal(found) and not types.is_duration(found) and not types.is_interval(found):
        _require_known_zone(found, place)
        return string()
    if types.is_decimal(found):
        return string()
    # Nested types.
    if types.is_list(found) or types.is_fixed_size_list(found):
        return list_(_readable(found.value_type, f"{place}, in a list"))
    if types.is_large_list(found):
        return large_list(_readable(found.value_type, f"{place}, in a list"))
    if types.is_struct(found):
        names = [found.field(index).name for index in range(found.num_fields)]
        if len(set(names)) < len(names):
            raise ValueError(f"{place}: a field's name stands twice among {', '.join(names)}; rename one")
        return struct(
            [field(part.name, _readable(part.type, f"{place}, field {part.name!r}")) for part in found.fields]
        )
    if types.is_map(found) and _is_text(found.key_type):
        return map_(string(), _readable(found.item_type, f"{place}, in a map"))
    # Types that stay as they are.
    if _is_text(found) or (types.is_primitive(found) and not types.is_temporal(found)) or types.is_null(found):
        return found
    raise ValueError(
        f"{place}: {found} has no form in JSON; leave the column out (metadata_keys), or convert it to text"
    )


def _require_known_zone(found: Any, place: str) -> None:
    """Raise ValueError for timestamps of an unknown time zone, which Arrow cannot write as text."""
    from pyarrow import ArrowInvalid, array, int64, string, types

    if types.is_timestamp(found) and found.tz:
        try:
            array([0], int64()).cast(found).cast(string())
        except ArrowInvalid as error:
            raise ValueError(
                f"{place}: time zone {found.tz!r} is unknown here; install tzdata if it is missing, name a zone that "
                "there is, or leave the column out (metadata_keys)"
            ) from error


def _require(holds: bool, name: str, key: str, schema: Any, rule: str) -> None:
    if not holds:
        raise ValueError(
            f"{name}: column {key!r} is {schema.field(key).type}, it must be {rule}; name another of "
            f"{', '.join(schema.names)}, or convert it"
        )


def _is_text(found: Any) -> bool:
    from pyarrow import types

    return bool(
        types.is_string(found) or types.is_large_string(found) or types.is_string_view(found) or types.is_null(found)
    )


def _is_integer(found: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(found))
