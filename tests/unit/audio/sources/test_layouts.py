"""Published layouts are recognised and read; columns and files that are not certain are listed."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from megatron_speech.audio.sources.parts import find_parts
from megatron_speech.config.stages.import_speech import ImportSpeechConfig
from tests.sources import part_of, read_sources, write_kaldi, written


@pytest.mark.parametrize("clips", [True, False])
def test_common_voice(tmp_path: Path, clips: bool) -> None:
    table = 'client_id\tpath\tsentence\tup_votes\tage\nc0ffee\tcommon_voice_en_1.mp3\t"Go," she said.\t2\t\n'
    (tmp_path / "clips").mkdir() if clips else None
    (source,) = read_sources(written(tmp_path, table, "train.tsv"))
    folder = tmp_path / "clips" if clips else tmp_path
    assert (source.name, source.audio) == ("common_voice_en_1", folder / "common_voice_en_1.mp3")
    assert source.text == '"Go," she said.' and source.meta["speaker"] == "c0ffee" and source.meta["up_votes"] == "2"


def test_nemo_manifests(tmp_path: Path) -> None:
    rows = [
        {"audio_filepath": "a.wav", "text": "one", "duration": 2.0},
        {"audio_filepath": "/x/a.wav", "text": "two", "offset": 1.0, "duration": 0.5, "lang": "en"},
    ]
    first, second = read_sources(written(tmp_path, rows, "train_manifest.json"))
    assert (first.audio, part_of(first)) == (tmp_path / "a.wav", (0.0, None, None, 2.0))
    assert (second.audio, part_of(second)) == (Path("/x/a.wav"), (1.0, 0.5, None, None))
    assert second.meta == {"audio_filepath": "/x/a.wav", "lang": "en", "source_start_s": 1.0}
    (moved, _) = read_sources(tmp_path / "train_manifest.json", root=tmp_path / "elsewhere")
    assert moved.audio == tmp_path / "elsewhere" / "a.wav"


def test_an_audio_folder(tmp_path: Path) -> None:
    written(tmp_path, "file_name,transcription\na.wav,one\n", "metadata.csv")
    (source,) = read_sources(tmp_path)
    assert (source.audio, source.text) == (tmp_path / "a.wav", "one")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"wav": "a", "words": "b"}, r"its columns wav, words fit no layout=auto .*plain \(audio\); common_v"),
        ({"path": "a", "text": "b"}, r"its columns path, text fit no layout=auto"),
        ({"audio": "a", "audio_filepath": "b", "text": "c"}, r"fit plain and nemo layout=auto"),
        ({"audio": "a", "caption": "b"}, r"none of audio, caption is the transcript; name it, as in columns: {"),
        ({"audio": "a", "sentence": "b", "transcript": "c"}, r"sentence, transcript may all be the transcript"),
    ],
)  # fmt: skip
def test_columns_that_are_not_certain_are_listed(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_sources(written(tmp_path, [row]))


def test_columns_are_mapped_by_settings(tmp_path: Path) -> None:
    row = {"wav": "a.wav", "words": "hi", "utt": 7, "spk": "s", "from": 1.0, "text": "x"}
    table = written(tmp_path, [row])
    columns = {"audio": "wav", "text": "words", "id": "utt", "speaker": "spk", "start": "from"}
    (source,) = read_sources(table, columns=columns)
    assert (source.name, source.text, source.start_s, source.meta["speaker"]) == ("7", "hi", 1.0, "s")
    with pytest.raises(ValueError, match=r"columns=\{audio: sound\}, but its columns are wav, words, utt"):
        read_sources(table, columns={"audio": "sound"})
    with pytest.raises(ValueError, match=r"fit no layout=nemo"):
        read_sources(table, layout="nemo")


def chapter(folder: Path, reader: str, number: str, lines: list[str], files: list[str]) -> None:
    place = folder / reader / number
    written(place, "".join(f"{reader}-{number}-{line}\n" for line in lines), f"{reader}-{number}.trans.txt")
    for name in files:
        (place / f"{reader}-{number}-{name}").write_bytes(b"")


def test_librispeech_as_published(tmp_path: Path) -> None:
    chapter(tmp_path, "84", "121123", ["0000 GO DO YOU HEAR", "0001 BUT"], ["0000.flac", "0001.flac"])
    for companion in ("._84-121123.trans.txt", "._84-121123-0000.flac"):
        (tmp_path / "84" / "121123" / companion).write_bytes(b"\0\xff")
    chapter(tmp_path, "84", "121550", ["0000 NO FILE"], ["0009.flac"])
    found = read_sources(tmp_path)
    folder = tmp_path / "84" / "121123"
    assert [(s.name, s.text) for s in found] == [
        *(("84-121123-0000", "GO DO YOU HEAR"), ("84-121123-0001", "BUT")),
        *(("84-121550-0000", "NO FILE"), ("84-121550-0009", None)),
    ]
    assert found[0].audio == folder / "84-121123-0000.flac" and found[0].meta == {"speaker": "84"}
    assert found[2].audio is None and found[2].place.endswith("84-121550.trans.txt:1")


def test_kaldi_data_folders(tmp_path: Path) -> None:
    folder = write_kaldi(
        tmp_path, wav_scp="r1 a.wav\nr2 /x/b.flac\n", text="r1 one  two\nr2\ttwo\nr3 lost\n", utt2spk="r1 s1\n"
    )
    one, two, lost = read_sources(folder)
    assert (one.name, one.audio, one.text, one.meta) == ("r1", tmp_path / "a.wav", "one  two", {"speaker": "s1"})
    assert (two.audio, two.text, part_of(two)) == (Path("/x/b.flac"), "two", (0.0, None, None, None))
    assert lost.defect is not None and "'r3' is not in wav.scp" in lost.defect[1]


def test_kaldi_segments_and_sides(tmp_path: Path) -> None:
    folder = write_kaldi(
        tmp_path,
        wav_scp="call-A c.wav\ncall-B c.wav\n",
        segments="u1 call-A 0.5 1.5\nu2 call-B 2 -1\nu3 call-A 3 2\nu4 gone 0 1\n",
        text="u1 one\nu2 two\nu3 three\nu4 four\n",
        reco2file_and_channel="call-A call A\ncall-B call B\n",
    )
    found = read_sources(folder)
    assert [part_of(source)[:3] for source in found[:2]] == [(0.5, 1.0, 0), (2.0, None, 1)]
    assert [source.defect and source.defect[0] for source in found] == [None, None, "segment", "incomplete"]
    assert found[1].meta == {"recording": "call-B", "source_start_s": 2.0}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"wav_scp": "r1 sph2pipe -f wav a.sph |\n"}, r"wav.scp:1: 'sph2pipe .*' is a command, and none is run"),
        ({"wav_scp": "r1 | touch owned\n"}, r"wav.scp:1: '\| touch owned' is a command"),
        ({"wav_scp": "r1 feats.ark:123\n"}, r"wav.scp:1: 'feats.ark:123' is no audio file"),
        ({"wav_scp": "r1\n"}, r"wav.scp:1: names no file"),
        ({"wav_scp": "r1 a.wav\nr1 b.wav\n"}, r"wav.scp:2: 'r1' already stands at .*wav.scp:1"),
        ({"wav_scp": "r1 a.wav\n", "segments": "u1 r1 zero 1\n"}, r"segments:1: must be '<utterance> <recording>"),
        ({"wav_scp": "r1 a.wav\n", "segments": "u1 r1 0 1 1\n"}, r"segments:1: must be '<utterance> <recording>"),
        ({"wav_scp": "r1 a.wav\n", "reco2file_and_channel": "r1 r1 C\n"}, r"'C' is no side of a recording"),
    ],
)
def test_kaldi_lines_that_cannot_be_are_named_and_no_command_is_run(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_sources(write_kaldi(tmp_path, text="r1 one\n", **files))
    assert not (tmp_path / "owned").exists()


def test_two_files_that_say_what_is_in_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    written(tmp_path / "a", "file_name,text\na.wav,one\n", "metadata.csv")
    written(tmp_path / "a", [{"file_name": "a.wav", "text": "two"}], "metadata.jsonl")
    with pytest.raises(ValueError, match=r"holds metadata.csv and metadata.jsonl, .* name one of them"):
        read_sources(tmp_path / "a")
    written(tmp_path / "b", "file_name,text\na.wav,one\n", "metadata.csv")
    written(tmp_path / "b" / "1" / "2", "1-2-0000 ONE\n", "1-2.trans.txt")
    with pytest.raises(ValueError, match=r"fits audio_folder and librispeech layout=auto"):
        read_sources(tmp_path / "b")
    assert read_sources(tmp_path / "b", layout="librispeech")[0].text == "ONE"
    for ending in ("flac", "wav"):
        written(tmp_path / "b" / "1" / "2", "", f"1-2-0000.{ending}")
    with pytest.raises(ValueError, match=r"1-2-0000.wav: 1-2-0000.flac is a recording of that id too; leave one"):
        read_sources(tmp_path / "b", layout="librispeech")


def test_folders_without_ids_are_one_with_one_numbering(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path / name, "file_name,text\n1.wav,one\n2.wav,two\n", "metadata.csv")
    found = read_sources(tmp_path / "*")
    assert [s.name for s in found] == [f"{number:09d}" for number in range(4)]
    assert found[2].audio == tmp_path / "b" / "1.wav"


def test_times_of_parquet_that_are_no_numbers_are_refused_or_quarantined(tmp_path: Path) -> None:
    def table(**columns: Any) -> Path:
        rows = {"audio": ["a.wav", "b.wav"], "text": ["x", "y"], **columns}
        pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "t.parquet")
        return tmp_path / "t.parquet"

    nan, good = read_sources(table(start_s=[float("nan"), 1.0], end_s=[2.0, 2.0]))
    assert nan.defect is not None and "start_s='nan' must be a number" in nan.defect[1]
    assert part_of(good)[:2] == (1.0, 1.0)
    for kind in (pyarrow.timestamp("ms"), pyarrow.duration("ms"), pyarrow.time32("ms")):
        with pytest.raises(ValueError, match=r"t.parquet:1: start=.* may say which part"):
            read_sources(table(start=pyarrow.array([1500, 2500], kind)))


def test_a_folder_of_no_known_layout_lists_what_it_holds(tmp_path: Path) -> None:
    written(tmp_path, "x", "train.tsv")
    (tmp_path / "clips").mkdir()
    with pytest.raises(ValueError, match=r"holds clips/, train.tsv, which fits no layout=auto of a folder .*kaldi"):
        read_sources(tmp_path)


def hub(path: Path, rows: int, **columns: Any) -> Path:
    """Parquet as the Hub stores speech: a struct of the recording's bytes and path."""
    audio = [{"bytes": b"%d" % number, "path": f"{number}.wav"} for number in range(rows)]
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    table = pyarrow.table({"audio": pyarrow.array(audio, kind), **columns})
    pyarrow.parquet.write_table(table, path, row_group_size=4)
    return path


def test_parquet_of_the_hub(tmp_path: Path) -> None:
    words = [f"text {number}" for number in range(10)]
    when, picture = [datetime.datetime(2026, 1, 2)] * 10, [b"x"] * 10
    for name in ("train-00000-of-00002", "train-00001-of-00002"):
        hub(
            tmp_path / f"{name}.parquet", 10, transcription=words, when=when, picture=picture, score=[float("nan")] * 10
        )
    found = read_sources(tmp_path / "*.parquet", utterances_per_shard=3)
    assert [(s.name, s.audio, s.text) for s in found] == [
        (f"{number:09d}", b"%d" % (number % 10), f"text {number % 10}") for number in range(20)
    ]
    assert found[3].meta == {"audio": "3.wav", "when": "2026-01-02 00:00:00", "score": None}
    assert found[12].place.endswith("train-00001-of-00002.parquet:3")


def test_parquet_with_paths_parts_and_ids(tmp_path: Path) -> None:
    table = pyarrow.table({"audio": ["a.wav"], "text": ["x"], "offset": [1.0], "duration": [2.0], "id": [5]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    (source,) = read_sources(tmp_path / "t.parquet")
    assert (source.name, source.audio, part_of(source)) == ("5", tmp_path / "a.wav", (1.0, 2.0, None, None))


def test_parquet_with_bytes_alone_by_another_name(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"flac": [b"F"], "text": ["x"], "other": [b"O"]}), tmp_path / "t.parquet")
    (source,) = read_sources(tmp_path / "t.parquet", columns={"audio": "flac"})
    assert (source.audio, source.text, source.meta) == (b"F", "x", {})


def test_an_id_that_repeats_in_parquet_is_named_before_the_work_begins(tmp_path: Path) -> None:
    for name in ("a", "b"):
        hub(tmp_path / f"{name}.parquet", 2, text=["x"] * 2, id=[1, 2] if name == "a" else [3, 1])
    config = ImportSpeechConfig(output=tmp_path / "out", table=tmp_path / "*.parquet")
    with pytest.raises(ValueError, match=r"b.parquet:2: id '1' already stands at .*a.parquet:1; .* map another column"):
        find_parts(config)
    named = read_sources(tmp_path / "a.parquet", columns={"id": "audio"})
    assert [(source.name, source.defect) for source in named] == [("0", None), ("1", None)]


def test_parquet_that_cannot_be_is_named(tmp_path: Path) -> None:
    path = hub(tmp_path / "t.parquet", 1, caption=["x"])
    with pytest.raises(ValueError, match=r"t.parquet: none of audio, caption is the transcript"):
        read_sources(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"t.parquet: damaged, or no Parquet"):
        read_sources(path)
    pyarrow.parquet.write_table(pyarrow.table({"audio": [[0.5, 0.25]], "text": ["x"]}), path)
    (source,) = read_sources(path)
    assert source.defect == ("metadata", "must be a row with the path 'audio'; correct it")
    twice = pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 3, names=["audio", "text", "text"])
    pyarrow.parquet.write_table(twice, path)
    with pytest.raises(ValueError, match=r"t.parquet: has the column 'text' twice"):
        read_sources(path)


def test_settings_that_a_layout_does_not_use_are_refused(tmp_path: Path) -> None:
    folder = write_kaldi(tmp_path, wav_scp="r1 a.wav\n", text="r1 one\n")
    with pytest.raises(ValueError, match="columns and metadata are for tables; layout kaldi has"):
        read_sources(folder, columns={"text": "words"})
    table = written(tmp_path, [{"audio": "a.wav", "text": "x"}])
    for layout in ("kaldi", "common_voice"):
        with pytest.raises(ValueError, match=rf"its columns audio, text fit no layout={layout}"):
            read_sources(table, layout=layout)
    with pytest.raises(ValueError, match=r"layout and columns\.audio describe a table, but table is not given"):
        read_sources(tars="*.tar", layout="nemo")


def test_damage_within_parquet_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    table = pyarrow.table({"audio": ["a.wav"] * 4000, "text": [f"words {number}" for number in range(4000)]})
    pyarrow.parquet.write_table(table, path, compression="zstd", write_page_checksum=True)
    data = bytearray(path.read_bytes())
    for place in (len(data) // 3, len(data) // 2):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        with pytest.raises(ValueError, match=r"t.parquet: damaged, or no Parquet"):
            read_sources(path)
    pyarrow.parquet.write_table(pyarrow.table({"audio": ["a.wav"], "text": ["words"]}), path, use_dictionary=False)
    path.write_bytes(path.read_bytes().replace(b"words", b"wor\xff\xff"))
    with pytest.raises(ValueError, match=r"t.parquet: damaged, or no Parquet"):
        read_sources(path)
    pyarrow.parquet.write_table(table, path, compression="zstd")
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"t.parquet: damaged, or no Parquet"):
        read_sources(path)
