"""Lhotse's manifests and shards, as its own library writes them."""

from __future__ import annotations

from pathlib import Path

import lhotse
import numpy as np
import pytest
import soundfile

from tests.sources import part_of, read_sources, written


def lhotse_sets(folder: Path) -> tuple[lhotse.RecordingSet, lhotse.SupervisionSet]:
    for name, channels in (("mono", 1), ("stereo", 2)):
        soundfile.write(folder / f"{name}.wav", np.full((32000, channels), 0.25), 16000)
    recordings = [lhotse.Recording.from_file(folder / f"{name}.wav") for name in ("mono", "stereo")]
    facts = [("s1", "mono", 0.0, 1.0, 0), ("s2", "mono", 1.0, 1.0, 0), ("s3", "stereo", 0.5, 0.5, 1)]
    supervisions = [
        lhotse.SupervisionSegment(
            id=name,
            recording_id=recording,
            start=start,
            duration=length,
            channel=channel,
            text=f"words {name}",
            speaker="s",
        )
        for name, recording, start, length, channel in facts
    ]
    return lhotse.RecordingSet.from_recordings(recordings), lhotse.SupervisionSet.from_segments(supervisions)


LHOTSE = [
    ("s1", "mono.wav", "words s1", (0.0, 1.0, None, 2.0)),
    ("s2", "mono.wav", "words s2", (1.0, None, None, 2.0)),
    ("s3", "stereo.wav", "words s3", (0.5, 0.5, 1, 2.0)),
]


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("x_supervisions_all.jsonl.gz", ["s1", "s2", "s3"]),
        ("cuts.jsonl.gz", ["mono-0-s1", "mono-0-s2", "stereo-1"]),
        ("trimmed.jsonl", ["s1", "s2", "s3"]),
    ],
)
def test_lhotse_manifests_with_recordings_on_disk(tmp_path: Path, form: str, names: list[str]) -> None:
    recordings, supervisions = lhotse_sets(tmp_path)
    cuts = lhotse.CutSet.from_manifests(recordings, supervisions)
    if "supervisions" in form:
        supervisions.to_file(tmp_path / form)
        with pytest.raises(FileNotFoundError, match="needs its recordings beside it"):
            read_sources(tmp_path / form)
        recordings.to_file(tmp_path / form.replace("supervisions", "recordings"))
    else:
        (cuts.trim_to_supervisions(keep_overlapping=False) if "trimmed" in form else cuts).to_file(tmp_path / form)
    found = read_sources(tmp_path / form)
    assert [(s.name, s.audio, s.text, part_of(s)) for s in found] == [
        (name, tmp_path / file, text, where) for name, (_, file, text, where) in zip(names, LHOTSE, strict=True)
    ]
    assert found[0].meta["speaker"] == "s"


def test_lhotse_shar(tmp_path: Path) -> None:
    cuts = lhotse.CutSet.from_manifests(*lhotse_sets(tmp_path)).trim_to_supervisions(keep_overlapping=False)
    (tmp_path / "shar").mkdir()
    cuts.to_shar(tmp_path / "shar", fields={"recording": "wav"}, shard_size=2)
    found = read_sources(tmp_path / "shar")
    assert [(s.name, s.text) for s in found] == [(name, text) for name, _, text, _ in LHOTSE]
    assert [part_of(source)[:2] for source in found] == [(0.0, None)] * 3
    assert all(isinstance(source.audio, bytes) and source.audio.startswith(b"RIFF") for source in found)
    (tmp_path / "shar" / "recording.000001.tar").unlink()
    with pytest.raises(FileNotFoundError, match=r"recording.000001.tar is not beside it"):
        read_sources(tmp_path / "shar")


def test_lhotse_audio_that_is_no_file_is_refused_and_no_command_is_run(tmp_path: Path) -> None:
    cut = lhotse.CutSet.from_manifests(*lhotse_sets(tmp_path))[0].to_dict()
    for kind, place in (("command", f"touch {tmp_path}/owned"), ("url", "https://x.org/a.wav"), ("shar", "")):
        cut["recording"]["sources"][0] |= {"type": kind, "source": place}
        with pytest.raises(ValueError, match=rf"t.jsonl:1: the audio is of type '{kind}'"):
            read_sources(written(tmp_path, [cut]))
    assert not (tmp_path / "owned").exists()
    with pytest.raises(ValueError, match=r"t.jsonl:1: a MixedCut is no part of one recording"):
        read_sources(written(tmp_path, [cut | {"type": "MixedCut"}]))


def test_lhotse_words_that_a_cut_cuts_off_go_to_quarantine(tmp_path: Path) -> None:
    windows = lhotse.CutSet.from_manifests(*lhotse_sets(tmp_path)).cut_into_windows(0.75)
    windows.to_file(tmp_path / "cuts.jsonl")
    found = read_sources(tmp_path / "cuts.jsonl")
    assert [source.text for source in found].count("words s1") == 2
    assert all(source.defect and "are cut off" in source.defect[1] for source in found if source.text)
