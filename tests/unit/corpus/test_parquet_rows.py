"""Parquet columns: what JSON can hold is read or written as text, every other column is refused by its name."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from megatron_speech.config.stages.build_vocabulary import BuildVocabularyConfig
from megatron_speech.config.stages.text_corpus import TextCorpusConfig
from megatron_speech.config.stages.tokenize_text import TokenizeTextConfig
from megatron_speech.corpus.interface import BadLine
from megatron_speech.corpus.records import RecordLayout, TextDocument, read_records
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.text_tokenizer.vocabulary_folder import build_vocabulary
from megatron_speech.tokenize_text.run import tokenize_text

pa = pytest.importorskip("pyarrow", reason="needs the extra [corpus]")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra [corpus]")

MOMENT = dt.datetime(2024, 5, 1, 12, 30)


def _write(folder: Path, **columns: Any) -> Path:
    rows = {"id": ["a"], "text": ["x"]} | columns
    arrays = [value if isinstance(value, pa.Array) else pa.array(value) for value in rows.values()]
    parquet.write_table(pa.table(arrays, names=list(rows)), folder / "c.parquet")
    return folder / "c.parquet"


def _read(path: Path, **layout: Any) -> list[TextDocument | BadLine]:
    return [found for _, found in read_records(path, RecordLayout(**layout))]


MAP = pa.map_(pa.string(), pa.decimal128(4, 1))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (pa.array([MOMENT], pa.timestamp("ms")), "2024-05-01 12:30:00.000"),
        (pa.array([1714566600123456789], pa.int64()).cast(pa.timestamp("ns")), "2024-05-01 12:30:00.123456789"),
        (pa.array([MOMENT], pa.timestamp("us", tz="UTC")), "2024-05-01 12:30:00.000000Z"),
        (pa.array([MOMENT.date()]), "2024-05-01"),
        (pa.array([MOMENT.time()], pa.time32("ms")), "12:30:00.000"),
        (pa.array([Decimal("1.50")]), "1.50"),
        (pa.array([Decimal("9" * 40 + ".5")], pa.decimal256(50, 1)), "9" * 40 + ".5"),
        (pa.array([[MOMENT]], pa.list_(pa.timestamp("ms"))), ["2024-05-01 12:30:00.000"]),
        (pa.array([{"a": {"b": Decimal("2.0")}, "c": None}]), {"a": {"b": "2.0"}, "c": None}),
        (pa.array([[("k", Decimal("1.0"))]], MAP), {"k": "1.0"}),
        (pa.array(["red"]).dictionary_encode(), "red"),
        (pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}'])), '{"a": 1}'),
        (pa.array([2**63 + 1], pa.uint64()), 2**63 + 1),
        (pa.array([None]), None),
        (pa.array([True]), True),
    ],
)  # fmt: skip
def test_a_column_is_kept_as_json_can_say_it(tmp_path: Path, array: Any, said: Any) -> None:
    (found,) = _read(_write(tmp_path, extra=array), metadata_keys=["extra"])
    assert isinstance(found, TextDocument)
    assert json.loads(orjson.dumps(found.metadata)) == {"extra": said}


@pytest.mark.parametrize("wrapped", ["alone", "in a list", "in a struct", "in metadata"])
@pytest.mark.parametrize(
    "array",
    [
        pa.array([b"\xff"]),
        pa.array([b"\xff"], pa.large_binary()),
        pa.array([b"\xff"], pa.binary(1)),
        pa.array([dt.timedelta(seconds=3)]),
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0123456789abcdef"], pa.binary(16))),
        pa.array([[(1, "a")]], pa.map_(pa.int32(), pa.string())),
        pa.array([[(MOMENT, "a")]], pa.map_(pa.timestamp("s"), pa.string())),
    ],
)
def test_a_column_that_json_cannot_hold_is_refused_by_name(tmp_path: Path, array: Any, wrapped: str) -> None:
    key = "metadata" if wrapped == "in metadata" else "extra"
    if wrapped == "in a list":
        array = pa.ListArray.from_arrays([0, 1], array)
    elif wrapped != "alone":
        array = pa.StructArray.from_arrays([array], ["inner"])
    path = _write(tmp_path, **{key: array})
    with pytest.raises(ValueError, match=rf"c.parquet: column '{key}'.* has no form in JSON"):
        _read(path, metadata_keys=["extra"] if key == "extra" else [])
    if key == "extra":  # nobody asked for it
        assert isinstance(_read(path)[0], TextDocument)


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("type_", [pa.float16(), pa.float32(), pa.float64()])
@pytest.mark.parametrize("wrapped", ["alone", "in a list", "in a struct"])
def test_a_number_that_is_not_finite_is_a_bad_line_as_in_json(
    tmp_path: Path, number: str, type_: Any, wrapped: str
) -> None:
    array = pa.array([1.5, float(number)]).cast(type_)
    place = {"alone": "extra", "in a list": "extra[0]", "in a struct": "extra.inner"}[wrapped]
    if wrapped == "in a list":
        array = pa.ListArray.from_arrays([0, 1, 2], array)
    elif wrapped == "in a struct":
        array = pa.StructArray.from_arrays([array], ["inner"])
    one, two = _read(_write(tmp_path, id=["1", "2"], text=["x", "y"], extra=array), metadata_keys=["extra"])
    assert isinstance(one, TextDocument) and isinstance(two, BadLine)
    assert (two.reason, two.message.partition(": ")[2][: len(place)]) == ("not JSON", place)
    assert f"{place}={number} is no finite number" in two.message
    (tmp_path / "c.jsonl").write_text(f'{{"id": "1", "text": "x", "extra": {number.replace("inf", "1e999")}}}\n')
    (line,) = _read(tmp_path / "c.jsonl", metadata_keys=["extra"])
    assert isinstance(line, BadLine) and line.reason == two.reason


@pytest.mark.parametrize("zone", ["Mars/Base", "GMT+2", "+25:00"])
@pytest.mark.parametrize("wrapped", ["alone", "in a list"])
def test_an_unknown_time_zone_is_named_and_is_no_damage(tmp_path: Path, zone: str, wrapped: str) -> None:
    array = pa.array([0], pa.int64()).cast(pa.timestamp("us", tz=zone))
    path = _write(tmp_path, extra=array if wrapped == "alone" else pa.ListArray.from_arrays([0, 1], array))
    with pytest.raises(ValueError, match=r"c\.parquet: column 'extra'.*: time zone '.*' is unknown here") as caught:
        _read(path, metadata_keys=["extra"])
    assert zone in str(caught.value) and "damaged" not in str(caught.value)
    assert isinstance(_read(path)[0], TextDocument)  # nobody asked for it


def test_the_refusal_comes_before_the_work(tmp_path: Path) -> None:
    path = _write(tmp_path, extra=pa.array([b"x"]))
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "vocabulary", codebook_size=4))
    corpora = {"c": TextCorpusConfig(path=path, metadata_keys=["extra"])}
    with pytest.raises(ValueError, match="column 'extra'"):
        tokenize_text(TokenizeTextConfig(corpora=corpora, vocabulary=tmp_path / "vocabulary", output=tmp_path / "out"))
    assert not list(tmp_path.glob("out*"))


def test_every_kind_of_text_column_is_read(tmp_path: Path) -> None:
    for type_ in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        path = _write(tmp_path, id=pa.array([1, 2, 3]), text=pa.array(["one", None, "three"]).cast(type_))
        one, two, three = _read(path)
        assert isinstance(one, TextDocument) and isinstance(three, TextDocument) and isinstance(two, BadLine)
        assert (one.id, one.text, three.id, two.reason) == ("1", "one", "3", "no text")
        assert "c.parquet:2: text=None must be a string" in two.message


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"text": pa.array([1])}, "column 'text' is int64, it must be text; name another of id, text"),
        ({"text": pa.array([b"x"])}, "column 'text': binary has no form in JSON"),
        ({"text": pa.array([["x"]])}, "column 'text' is list.*, it must be text"),
        ({"id": pa.array([1.5])}, "column 'id' is double, it must be text or an integer"),
        ({"id": pa.array([True])}, "column 'id' is bool, it must be text or an integer"),
    ],
)
def test_a_column_of_another_type_is_named(tmp_path: Path, columns: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rf"c.parquet: {rule}"):
        _read(_write(tmp_path, **columns))


@pytest.mark.parametrize("key", ["text", "id", "extra", "metadata"])
def test_two_columns_of_one_name_are_refused(tmp_path: Path, key: str) -> None:
    names = ["id", "text", "extra", "metadata", key]
    table = pa.table([pa.array(["a"]), pa.array(["x"]), *[pa.array([{"n": 1}])] * 3], names=names)
    parquet.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(ValueError, match=rf"c.parquet: 2 columns are named '{key}'; rename all but one"):
        _read(tmp_path / "c.parquet", metadata_keys=["extra"])


def test_a_row_that_is_no_utf8_is_one_bad_line(tmp_path: Path) -> None:
    offsets, content = pa.py_buffer(bytes([0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0])), pa.py_buffer(b"a\xff")
    texts = pa.StringArray.from_buffers(2, offsets, content)
    one, two = _read(_write(tmp_path, id=pa.array(["1", "2"]), text=texts))
    assert isinstance(one, TextDocument) and one.text == "a"
    assert isinstance(two, BadLine) and two.reason == "not UTF-8"


def test_a_map_that_has_a_key_twice_is_one_bad_line(tmp_path: Path) -> None:
    column = pa.array([[("k", Decimal("1.0"))], [("k", Decimal("1.0")), ("k", Decimal("2.0"))]], MAP)
    one, two = _read(
        _write(tmp_path, id=pa.array([1, 2]), text=pa.array(["x", "y"]), extra=column), metadata_keys=["extra"]
    )
    assert isinstance(one, TextDocument) and isinstance(two, BadLine) and "key twice" in two.message


def test_documents_of_a_table_keep_their_metadata(tmp_path: Path) -> None:
    path = _write(tmp_path, when=pa.array([MOMENT]), metadata=pa.array([{"price": Decimal("3.20")}]))
    build_vocabulary(BuildVocabularyConfig(output=tmp_path / "vocabulary", codebook_size=4))
    corpora = {"c": TextCorpusConfig(path=path, metadata_keys=["when"])}
    tokenize_text(TokenizeTextConfig(corpora=corpora, vocabulary=tmp_path / "vocabulary", output=tmp_path / "out"))
    (document,) = read_documents(tmp_path / "out")
    assert document.meta == {"price": "3.20", "when": "2024-05-01 12:30:00.000000"}
