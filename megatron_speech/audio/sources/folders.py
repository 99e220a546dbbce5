"""Readers for published folder layouts: LibriSpeech's tree of chapters, and Kaldi data folders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.files import fingerprint_files
from megatron_speech.audio.sources.interface import FolderContents, FolderLayout
from megatron_speech.audio.sources.listed import AUDIO_KINDS, ListedUtterance
from megatron_speech.audio.sources.tables import read_lines
from megatron_speech.audio.sources.times import letter_channel

TRANSCRIPTS = "*.trans.txt"
KALDI_FILES = ("wav.scp", "text", "segments", "utt2spk", "reco2file_and_channel")


def transcript_files(folder: Path) -> list[Path]:
    """Transcript files of a LibriSpeech tree, one for each chapter."""
    return sorted(path for path in folder.rglob(TRANSCRIPTS) if not path.name.startswith("."))


def read_librispeech(transcripts: list[Path]) -> list[ListedUtterance]:
    """Utterances of all chapters: one for every recording or transcript line, even if the other is missing.

    Lines are ``<id> WORDS``; the recording of an id is in the same folder. Raises ValueError if an id repeats.
    """
    return [listed for path in transcripts for listed in _chapter(path)]


def _chapter(transcripts: Path) -> Iterator[ListedUtterance]:
    words = _by_key(transcripts)
    endings = tuple(f".{kind}" for kind in AUDIO_KINDS)
    paths = sorted(path for path in transcripts.parent.iterdir() if not path.name.startswith("."))
    files: dict[str, Path] = {}
    for path in paths:
        if path.suffix.lower() in endings and files.setdefault(path.stem, path) is not path:
            raise ValueError(f"{path}: {files[path.stem].name} is a recording of that id too; leave one")
    for name in [*words, *sorted(files.keys() - words.keys())]:
        place, text = words.get(name, (str(files.get(name)), None))
        meta = {"speaker": name.split("-")[0]} if name.count("-") == 2 else {}
        yield ListedUtterance(name=name, place=place, audio=files.get(name), text=text, meta=meta)


def kaldi_files(folder: Path) -> list[Path]:
    """Existing files of a Kaldi data folder that `read_kaldi` reads."""
    return [folder / name for name in KALDI_FILES if (folder / name).is_file()]


def read_kaldi(folder: Path, root: Path | None) -> list[ListedUtterance]:
    """Utterances of a Kaldi data folder.

    Paths in wav.scp are relative to `root`, or to the folder if it is None. Raises ValueError for a malformed line, a
    repeated id, or a recording that is the output of a command, because commands are never run.
    """
    # Read the files, each by the first word of its lines.
    recordings = {key: _recording(*line, root or folder) for key, line in _by_key(folder / "wav.scp").items()}
    texts, speakers, sides = (_by_key(folder / name, wanted=False) for name in ("text", "utt2spk", KALDI_FILES[-1]))
    channels = {key: _side(*line) for key, line in sides.items()}
    segments = _by_key(folder / "segments", wanted=False)
    parts = {key: _segment(*line) for key, line in segments.items()} or {key: (key, 0.0, None) for key in recordings}
    # Combine them to one utterance per segment, or per recording without segments.
    found = []
    for name in [*parts, *(key for key in texts if key not in parts)]:
        recording, start, duration = parts.get(name, (name, 0.0, None))
        place = segments.get(name) or texts.get(name) or (f"{folder / 'wav.scp'} ({name})", "")
        defect = None
        if recording not in recordings:
            defect = ("incomplete", f"{recording!r} is not in wav.scp; add it, or leave the utterance out")
        elif duration is not None and duration <= 0:
            defect = ("segment", "it ends before it begins; correct the line")
        meta: dict[str, Any] = {"speaker": speakers[name][1]} if name in speakers else {}
        if recording != name:
            meta |= {"recording": recording, "source_start_s": start}
        found.append(
            ListedUtterance(
                name=name,
                place=place[0],
                audio=recordings.get(recording),
                text=texts[name][1] if name in texts else None,
                meta=meta,
                start_s=start,
                duration_s=duration,
                channel=channels.get(recording),
                part_is_stated=name in segments,
                defect=defect,
            )
        )
    return found


def _by_key(path: Path, *, wanted: bool = True) -> dict[str, tuple[str, str]]:
    """Place and rest of each line by its first word; a missing file has no lines unless it is `wanted`."""
    lines: dict[str, tuple[str, str]] = {}
    for place, line in read_lines(path) if wanted or path.is_file() else ():
        key, *rest = re.split(r"[ \t]+", line.strip(), maxsplit=1)
        if key in lines:
            raise ValueError(f"{place}: {key!r} already stands at {lines[key][0]}; ids must be unique, rename one")
        if key:
            lines[key] = (place, rest[0] if rest else "")
    return lines


def _recording(place: str, value: str, root: Path) -> Path:
    if value.endswith("|") or value.startswith("|"):
        raise ValueError(f"{place}: {value!r:.80} is a command, and none is run; write its output to a file, name that")
    if not value or value == "-":
        raise ValueError(f"{place}: names no file; correct the line")
    if re.search(r"\.ark$|:\d+(\[.*\])?$", value):
        raise ValueError(f"{place}: {value!r:.80} is no audio file; an archive's entries must be written to files")
    return root / value


def _segment(place: str, value: str) -> tuple[str, float, float | None]:
    """Recording, start and duration in seconds; the duration is None (to the end) for an end of -1."""
    fields = value.split()
    try:
        recording, start, end = fields[0], float(fields[1]), float(fields[2])
        if len(fields) > 3 or not 0 <= start < float("inf") or not -1 <= end < float("inf"):
            raise ValueError
    except (ValueError, IndexError) as error:
        raise ValueError(f"{place}: must be '<utterance> <recording> <start> <end>' in seconds; correct it") from error
    return recording, start, None if end == -1 else end - start


def _side(place: str, value: str) -> int:
    """Channel (from 0) of a line '<recording> <file> <side>', with a side of A, B or a number from 1."""
    side = value.split()[-1] if value else ""
    channel = letter_channel(side) if side.lower() in ("a", "b") else int(side) - 1 if side.isdecimal() else None
    if channel is None or channel < 0:
        raise ValueError(f"{place}: {side!r} is no side of a recording; write A, B, 1 or 2")
    return channel


KALDI = FolderLayout(
    sign="wav.scp",
    find=lambda folder: kaldi_files(folder) if (folder / "wav.scp").is_file() else [],
    read=lambda folder, files, config, first: FolderContents(
        inputs={str(folder): fingerprint_files(files)}, utterances=read_kaldi(folder, config.root)
    ),
)
LIBRISPEECH = FolderLayout(
    sign=TRANSCRIPTS,
    find=transcript_files,
    read=lambda folder, files, config, first: FolderContents(
        inputs={str(folder): fingerprint_files(files)}, utterances=read_librispeech(files)
    ),
)
