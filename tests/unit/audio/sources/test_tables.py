"""Tables as people have them: encodings, quotes and ends of lines are read; a defect names its file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.sources import read_sources, written

ROWS = [{"audio": "a.wav", "text": "one", "id": "a"}, {"audio": "b.wav", "text": "two", "id": "b"}]
AS_TEXT = "".join(json.dumps(row) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.jsonl", AS_TEXT),
        ("t.json", AS_TEXT),
        ("t.jsonl", "\ufeff" + AS_TEXT),
        ("t.jsonl", AS_TEXT.replace("\n", "\r\n")),
        ("t.jsonl", AS_TEXT.rstrip() + "\n\n  \n"),
        ("t.jsonl.gz", gzip.compress(AS_TEXT.encode())),
        ("t.tsv", "audio\ttext\tid\na.wav\tone\ta\nb.wav\ttwo\tb\n"),
        ("t.tsv", "\ufeffid\taudio\ttext\r\na\ta.wav\tone\r\nb\tb.wav\ttwo"),
        ("t.tsv", '"audio"\t"text"\t"id"\n"a.wav"\t"one"\t"a"\nb.wav\ttwo\tb\n'),
        ("t.csv", 'audio,text,id\na.wav,"one",a\n\nb.wav,two,b\n'),
        ("t.csv", ",audio, text, id\n0,a.wav,one,a\n1,b.wav,two,b\n"),
        ("t.CSV", "\ufeffaudio;text;id\r\na.wav;one;a\r\nb.wav;two;b\r\n"),
    ],
)
def test_the_same_rows_come_from_every_form_of_table(tmp_path: Path, name: str, content: str | bytes) -> None:
    found = read_sources(written(tmp_path, content, name))
    assert [(s.name, s.text, s.audio) for s in found] == [
        ("a", "one", tmp_path / "a.wav"),
        ("b", "two", tmp_path / "b.wav"),
    ]


def test_quotes_belong_to_the_text_where_a_field_with_one_is_not_quoted(tmp_path: Path) -> None:
    plain = 'audio\ttext\na.wav\t"Stop," he said.\nb.wav\t"So\nc.wav\tgo on"\nd.wav\tsay "it"\n'
    assert [s.text for s in read_sources(written(tmp_path, plain, "p.tsv"))] == [
        '"Stop," he said.',
        '"So',
        'go on"',
        'say "it"',
    ]
    quoted = 'audio\ttext\na.wav\t"He said ""stop""."\nb.wav\t"a\ttab"\n'
    assert [s.text for s in read_sources(written(tmp_path, quoted, "q.tsv"))] == ['He said "stop".', "a\ttab"]
    (source,) = read_sources(written(tmp_path, 'audio,text\na.wav,"one,\n\ntwo"\n', "m.csv"))
    assert source.text == "one,\n\ntwo"


@pytest.mark.parametrize("good", ['a.wav\t"say ""it"" now"', 'a.wav\t"a\ttab"', '"a.wav"\t"it"'])
def test_a_stray_quote_among_quoted_lines_is_named(tmp_path: Path, good: str) -> None:
    with pytest.raises(ValueError, match=r"t.tsv:3: a stray quote, where other lines are quoted as CSV is"):
        read_sources(written(tmp_path, f'audio\ttext\n{good}\nb.wav\t"Yes" he\n', "t.tsv"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.jsonl", '{"audio":"a"}\n{"audio":"é"}\n'.encode("latin-1"), r"t.jsonl:2: no UTF-8 \(byte 0xe9"),
        ("t.tsv", "audio\ttext\na.wav\tcafé\n".encode("cp1252"), r"t.tsv:2: no UTF-8"),
        ("t.csv", "audio,text\na.wav,é\n".encode("latin-1"), r"t.csv:2: no UTF-8"),
        ("t.jsonl", AS_TEXT.encode("utf-16"), r"t.jsonl: is UTF-16"),
        ("t.tsv", "audio\ttext\na.wav\tx\n".encode("utf-16-le"), r"t.tsv: is UTF-16"),
        ("t.jsonl.gz", gzip.compress(AS_TEXT.encode())[:-9], r"t.jsonl.gz: damaged gzip"),
        ("t.jsonl", json.dumps(ROWS), r"t.jsonl:1: is a JSON array; write an object per line"),
        ("t.jsonl", '"a.wav"\n', r"t.jsonl:1: must be an object"),
        ("t.jsonl", '{"audio":"a","text":"x","text":"y"}\n', r"t.jsonl:1: no JSON \(the key 'text' stands twice\)"),
        ("t.jsonl", '{"audio":"a","snr":NaN}\n', r"t.jsonl:1: no JSON \(NaN is no number of JSON\)"),
        ("t.jsonl", '{"audio":"a","text":"\\ud800"}\n', r"t.jsonl:1: no JSON \(.* surrogates not allowed"),
        ("t.jsonl", "[" * 100_000, r"t.jsonl:1: "),
        ("t.tsv", "audio\ttext\na.wav\tx\nb.wav\n", r"t.tsv:3: 1 fields, the header has 2"),
        ("t.csv", "audio,text\na.wav,x,y\n", r"t.csv:2: 3 fields, the header has 2"),
        ("t.csv", 'audio,text\na.wav,"x\nb.wav,y\n', r"t.csv:2: unexpected end of data in the record that begins here"),
        ("t.csv", f"audio,text\na.wav,{'x' * 200_000}\n", r"t.csv:2: field larger .*; close its quotes, or shorten"),
        ("t.csv", "audio,text,text\na.wav,x,y\n", r"t.csv:1: the column 'text' stands twice"),
        ("t.csv", "audio,text\n", r"t.csv: holds no row"),
        ("t.jsonl", "", r"t.jsonl: holds no row"),
        ("t.xlsx", "x", r"ends in .xlsx; a table must end in .jsonl"),
        ("t.jsonl", AS_TEXT + '{"audio":"c.wav","id":"a"}\n', r"t.jsonl:3: id 'a' already stands at .*t.jsonl:1"),
        ("t.jsonl", '{"audio":"a.wav","text":"x","id":1.5}\n', r"t.jsonl:1: id=1.5 must be a string or a whole number"),
        ("t.jsonl", '{"audio":"a.wav","text":"x","id":false}\n', r"t.jsonl:1: id=False must be a string or a whole"),
        ("t.jsonl", f'{{"audio":"a","text":"x","offset":{"9" * 400}}}', r"t.jsonl:1: offset='999.* must be a number"),
        ("t.jsonl", '{"audio":["a.wav"],"text":"x"}\n', r"t.jsonl:1: must be a row with the path 'audio'"),
        ("t.jsonl", '{"audio":"https://x.org/a.wav","text":"x"}\n', r"t.jsonl:1: audio='https://x.*' is an address"),
    ],
)  # fmt: skip
def test_a_defect_of_a_table_is_named_by_file_and_line(tmp_path: Path, name: str, content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_sources(written(tmp_path, content if isinstance(content, bytes) else content.encode(), name))


def test_numbers_are_names(tmp_path: Path) -> None:
    rows = [{"audio": "a.wav", "text": "x", "id": name} for name in (7, "08", 10**25)]
    assert [s.name for s in read_sources(written(tmp_path, rows))] == ["7", "08", "1" + "0" * 25]


def test_a_path_that_no_file_can_have_is_left_to_its_utterance(tmp_path: Path) -> None:
    odd = [{"audio": name, "text": "x"} for name in ("a\0.wav", "x" * 5000, "../gone.wav", "张三.wav")]
    assert [str(s.audio) for s in read_sources(written(tmp_path, odd))] == [str(tmp_path / row["audio"]) for row in odd]


def test_several_tables_are_one_with_one_numbering(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path, [{"audio": f"{name}.wav", "text": name}], f"{name}.jsonl")
    found = read_sources(tmp_path / "*.jsonl", utterances_per_shard=1)
    assert [(s.name, s.text) for s in found] == [("000000000", "a"), ("000000001", "b")]
    written(tmp_path, [{"audio": "c.wav", "text": "c", "id": "000000000"}], "c.jsonl")
    with pytest.raises(ValueError, match=r"c.jsonl:1: id '000000000' already stands at .*a.jsonl:1"):
        read_sources(tmp_path / "*.jsonl")


def test_metadata_of_the_writers_names_is_kept_under_others(tmp_path: Path) -> None:
    row = {"audio": "a.wav", "sentence": "x", "text": "y", "utt": "u", "id": "i", "source_id": "s", "key": "k"}
    row |= {"speaker": "A. N. Other", "spk": 7}
    table = written(tmp_path, [row | {"duration_s": 2.5}])
    (source,) = read_sources(table, columns={"text": "sentence", "id": "utt", "speaker": "spk"})
    assert (source.name, source.text, source.whole_duration_s) == ("u", "x", 2.5)
    assert source.meta == {
        "audio": "a.wav",
        "original_text": "y",
        "original_id": "i",
        "original_source_id": "s",
        "original_speaker": "A. N. Other",
        "speaker": "7",
        "spk": 7,
        "key": "k",
    }
