"""Readers for Lhotse manifests (JSON lines of cuts, or of supervisions with recordings) and for Lhotse Shar.

An utterance is a supervision: a transcript, and the part of the recording that it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.files import fingerprint_files
from megatron_speech.audio.sources.archive import read_members
from megatron_speech.audio.sources.interface import FolderContents, FolderLayout
from megatron_speech.audio.sources.listed import AUDIO_KINDS, ListedUtterance
from megatron_speech.audio.sources.rows import glances
from megatron_speech.audio.sources.tables import Row, read_rows
from megatron_speech.config.stages.import_speech import ImportSpeechConfig

_SLACK_S = 0.05
"""Seconds by which a supervision may exceed its cut, because times are rounded."""


def is_lhotse(found: Iterable[str]) -> bool:
    """Whether rows with the keys `found` are Lhotse cuts, supervisions or recordings."""
    keys = set(found)
    cuts, supervisions = {"supervisions", "start", "duration", "type"}, {"recording_id", "start", "duration", "channel"}
    return keys >= cuts or keys >= supervisions or keys >= {"sources", "sampling_rate", "num_samples"}


def recordings_file(table: Path) -> Path:
    """Path of the recordings of a table of supervisions: "supervisions" in its name becomes "recordings"."""
    return table.with_name(table.name.replace("supervisions", "recordings"))


def read_lhotse(rows: Iterable[Row], table: Path, root: Path) -> list[ListedUtterance]:
    """Utterances of a manifest of cuts or supervisions; paths are relative to `root`.

    Raises:
        FileNotFoundError: the recordings of the supervisions are not next to them.
        ValueError: a line is malformed, or its audio is not a file (no command is run, nothing is downloaded).
    """
    recordings: Mapping[str, Any] = {}
    found: list[ListedUtterance] = []
    for place, row in rows:
        try:
            if "sources" in row:
                raise ValueError("these are recordings, without words; give the manifest of supervisions or cuts")
            if "recording_id" in row:
                recordings = recordings or _recordings(table)
                if row["recording_id"] not in recordings:
                    raise ValueError(f"recording {row['recording_id']!r} is not in {recordings_file(table)}")
                found.append(_listed(row, recordings[row["recording_id"]], place, root))
            else:
                found += _of_cut(row, place, root)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{place}: no cut or supervision of Lhotse ({error!r}); correct the line") from error
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
    return found


def read_shar(cuts: Path, tar: Path) -> Iterator[ListedUtterance]:
    """Utterances of one Lhotse Shar shard, in the order of the tar: `cuts` and the `tar` of their recordings.

    A cut without a recording becomes an utterance without audio. Raises ValueError for a recording without a cut.
    """
    rows = {str(row.get("id")): (place, row) for place, row in read_rows(cuts)}
    for members in read_members(tar):
        if members.key not in rows:
            raise ValueError(f"{members.place(tar)}: {members.key!r} is no cut of {cuts}; copy both again")
        audio = next((members.files[kind] for kind in AUDIO_KINDS if kind in members.files), None)
        yield from _of_shar(*rows.pop(members.key), audio)
    for place, row in rows.values():
        yield from _of_shar(place, row, None)


def _of_shar(place: str, row: dict[str, Any], audio: bytes | None) -> list[ListedUtterance]:
    try:
        return [replace(listed, audio=audio) for listed in _of_cut(row, place, None)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{place}: no cut of one recording ({error}); correct the line") from error


def _recordings(table: Path) -> dict[str, Any]:
    path = recordings_file(table)
    if path == table or not path.is_file():
        raise FileNotFoundError(
            f"{table}: needs its recordings beside it, in a file named as it is, with 'recordings' for 'supervisions'"
        )
    return {row["id"]: row for _, row in read_rows(path)}


def _of_cut(cut: Mapping[str, Any], place: str, root: Path | None) -> list[ListedUtterance]:
    """Supervisions of a cut, or the cut itself if it has none; `root` is None for Shar, which packs the audio."""
    if cut["type"] not in ("MonoCut", "MultiCut", "Cut"):
        raise ValueError(f"a {cut['type']} is no part of one recording; save its audio, and cuts of that")
    whole = {"start": 0, "duration": cut["duration"], "channel": cut.get("channel")}
    supervisions = cut.get("supervisions") or [whole]
    found = []
    for supervision in supervisions:
        # A supervision may be in several cuts, but the id of a cut is unique.
        name = cut["id"] if len(supervisions) == 1 else f"{cut['id']}-{supervision['id']}"
        start, end = supervision["start"], supervision["start"] + supervision["duration"]
        inside = {"start": max(start, 0) + cut["start"], "duration": min(end, cut["duration"]) - max(start, 0)}
        listed = _listed({**supervision, **inside, "id": name}, cut["recording"], place, root)
        if start < -_SLACK_S or end > cut["duration"] + _SLACK_S:
            why = f"its words, from {start:g} to {end:g} s of a cut of {cut['duration']:g} s, are cut off"
            listed = replace(listed, defect=("segment", f"{why}; leave it out"))
        found.append(listed)
    return found


def _listed(row: Mapping[str, Any], recording: Mapping[str, Any], place: str, root: Path | None) -> ListedUtterance:
    """The utterance of a supervision; its times are relative to the recording."""
    if any(transform.get("name") != "Resample" for transform in recording.get("transforms") or ()):
        raise ValueError("the recording is to be transformed as it is read; save its audio, and cuts of that")
    channels = row.get("channel")
    channel = channels[0] if isinstance(channels, list) and len(channels) == 1 else channels
    path, channel = _file(recording, channel if isinstance(channel, int) else None, root)
    start, duration, whole = float(row["start"]), float(row["duration"]), float(recording["duration"])
    meta = {key: row[key] for key in ("speaker", "language", "gender", "custom") if row.get(key) is not None}
    if start > 0:
        meta["source_start_s"] = start
    return ListedUtterance(
        name=str(row["id"]),
        place=place,
        audio=path,
        text=row.get("text"),
        meta=meta | {"recording": recording["id"]},
        start_s=start,
        # Times are rounded: a part that ends with the recording has no stated duration.
        duration_s=None if abs(start + duration - whole) < 1e-3 else duration,
        channel=channel,
        whole_duration_s=whole,
        part_is_stated=True,
        defect=None if duration > 0 else ("segment", "it ends before it begins; correct the line"),
    )


def _file(recording: Mapping[str, Any], channel: int | None, root: Path | None) -> tuple[Path | None, int | None]:
    """File with a channel (None for Shar), and the channel's number in it (None for all channels)."""
    holding = [file for file in recording["sources"] if channel is None or channel in file["channels"]]
    if len(holding) != 1:
        raise ValueError(f"channel {channel} is in {len(holding)} files of recording {recording['id']!r}, not in one")
    kind, place, channels = holding[0]["type"], holding[0]["source"], holding[0]["channels"]
    number = None if channel is None or len(channels) == 1 else channels.index(channel)
    if root is None:
        return None, number
    if kind != "file":
        raise ValueError(f"the audio is of type {kind!r} ({place!r:.60}), not a file; write it to files")
    return root / place, number


def _shar_tar(cuts: Path) -> Path:
    name = cuts.name.replace("cuts", "recording", 1).partition(".jsonl")[0]
    tar = next(
        (path for path in (cuts.with_name(f"{name}.tar"), cuts.with_name(f"{name}.tar.gz")) if path.is_file()), None
    )
    if tar is None:
        raise FileNotFoundError(f"{cuts}: {name}.tar is not beside it; copy the recordings too")
    return tar


def _read_shar_folder(folder: Path, files: list[Path], config: ImportSpeechConfig, first: int) -> FolderContents:
    tars = [_shar_tar(cuts) for cuts in files]
    return FolderContents(
        inputs={**glances(tars), str(folder): fingerprint_files(files)},
        reads=[partial(read_shar, cuts, tar) for cuts, tar in zip(files, tars, strict=True)],
    )


SHAR = FolderLayout(
    sign="cuts.*.jsonl.gz", find=lambda folder: sorted(folder.glob("cuts.*.jsonl*")), read=_read_shar_folder
)
