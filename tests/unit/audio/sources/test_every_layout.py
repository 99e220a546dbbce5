"""A part of a recording comes out alike, whatever layout says where it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lhotse
import numpy as np
import pyarrow
import pyarrow.parquet
import soundfile

from megatron_speech.audio.importing import import_speech
from megatron_speech.audio.shards import read_audio_shards
from megatron_speech.config.stages.import_speech import ImportSpeechConfig
from tests.sources import write_kaldi, write_tar, written


def test_the_same_part_of_a_recording_is_cut_out_in_every_layout(tmp_path: Path) -> None:
    wave = 0.4 * np.sin(np.arange(48000) ** 1.5 / 300)
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype="FLOAT")
    content = (tmp_path / "a.wav").read_bytes()
    row = {"text": "x", "offset": 1.0, "duration": 0.5}
    write_kaldi(tmp_path / "kaldi", wav_scp="r ../a.wav\n", segments="u r 1 1.5\n", text="u x\n")
    recording = lhotse.Recording.from_file(tmp_path / "a.wav", recording_id="r")
    cut = recording.to_cut().truncate(offset=0.5)
    cut.supervisions = [lhotse.SupervisionSegment(id="u", recording_id="r", start=0.5, duration=0.5, text="x")]
    write_tar(tmp_path / "t.tar", [("a.wav", content), ("a.json", json.dumps(row).encode())])
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    columns = {"audio": pyarrow.array([{"bytes": content, "path": None}], kind)}
    table = pyarrow.table({**columns, **{key: [value] for key, value in row.items()}})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    named = {"audio": "a.wav", "text": "x", "from": 1000, "to": 1500}
    changes: dict[str, dict[str, Any]] = {
        "plain": {"table": written(tmp_path, [{"audio": "a.wav", **row}], "plain.jsonl")},
        "nemo": {"table": written(tmp_path, [{"audio_filepath": "a.wav", **row}], "nemo.json")},
        "kaldi": {"table": tmp_path / "kaldi"},
        "lhotse": {"table": written(tmp_path, [cut.to_dict()], "cuts.jsonl")},
        "mapped": {"table": written(tmp_path, [named], "m.jsonl"), "columns": {"start_ms": "from", "end_ms": "to"}},
        "webdataset": {"tars": str(tmp_path / "t.tar")},
        "tarred": {"table": tmp_path / "nemo.json", "tars": str(tmp_path / "t.tar")},
        "parquet": {"table": tmp_path / "t.parquet"},
    }
    for name, settings in changes.items():
        import_speech(ImportSpeechConfig(output=tmp_path / f"{name}.out", **settings))
        (record,) = read_audio_shards(tmp_path / f"{name}.out")
        np.testing.assert_allclose(record.waveform, wave[16000:24000], atol=1e-4, err_msg=name)
        assert (record.text, record.meta["source_start_s"]) == ("x", 1.0), name
