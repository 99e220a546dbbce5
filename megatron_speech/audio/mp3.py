"""Count the frames of an MP3 file: detects truncation and adds a missing length header.

Instead of sound, the first frame may hold a header with the number of frames (Xing, Info, VBRI). libsndfile trusts
it. Without one it guesses the length from the size of the first frame. With variable bit rates this drops the end of
the file or expects too many frames.

Limitation: a file without such a header that ends exactly between two frames counts as complete. So does a file with
a header that lacks only its last frame (24 to 72 ms), because encoders disagree whether the header counts itself.
"""

from __future__ import annotations

from mmap import mmap
from typing import NamedTuple

from megatron_speech.audio.containers import mpeg_frame, skip_id3


class Walk(NamedTuple):
    """Result of walking over all frames."""

    frames: int
    """Number of complete frames, with the header frame."""
    torn: bool
    """Whether the file ends inside a frame."""


def missing(data: bytes | mmap) -> str | None:
    """Description of what is missing at the end of the file; None if nothing is known to be missing."""
    start = _first(data)
    if start is None:
        return "no two frames of layer III follow each other"
    promised, found = _promised(data, start), _walk(data, start)
    sound = found.frames - 1
    if promised is None or sound > promised + 1:
        return "its last frame is not whole" if found.torn else None
    return f"{sound} of {promised} frames are there" if sound < promised - (not found.torn) else None


def with_count(data: bytes | mmap) -> bytes | None:
    """The file with a correct header frame; None if it already has one.

    The header is wrong if files were joined, because it counts the frames of the first only.
    """
    start = _first(data)
    if start is None:
        return None
    note, frames, behind = _note(data, start), _walk(data, start).frames, start
    if note is not None:
        behind += mpeg_frame(data[start : start + 4]) or 0
        frames -= 1
        if frames <= note + 1:
            return None
    head = bytearray(data[start : start + 4])
    head[1] |= 1  # no checksum
    head[2] = head[2] & 0x0C | 0x90  # 128 or 80 kilobits per second: large enough for the header
    frame = bytearray(mpeg_frame(bytes(head)) or 0)
    place = 4 + _side_bytes(head)
    frame[:4], frame[place : place + 12] = head, b"Xing\0\0\0\1" + frames.to_bytes(4, "big")
    return data[:start] + bytes(frame) + data[behind:]


def _first(data: bytes | mmap) -> int | None:
    return _next(data, skip_id3(data))


def _walk(data: bytes | mmap, place: int | None) -> Walk:
    """Count the frames from `place` on, skipping other bytes between them."""
    alike, count = data[place : place + 3] if place is not None else b"", 0
    while place is not None:
        head = data[place : place + 4]
        length = mpeg_frame(head) if _alike(head, alike) else None
        if head[:1] == b"\xff" and (len(head) < 4 or place + (length or 0) > len(data)):
            return Walk(count, True)
        count += length is not None
        place = place + length if length is not None else _next(data, place + 1)
    return Walk(count, False)


def _alike(head: bytes, other: bytes) -> bool:
    """Whether two frames have the same version and sample rate, as all frames of a file do."""
    return len(head) == 4 and head[1] & 0xFE == other[1] & 0xFE and head[2] & 0x0C == other[2] & 0x0C


def _next(data: bytes | mmap, place: int) -> int | None:
    """Offset, from `place` on, of the first frame that is followed by another; None if there is none."""
    while (place := data.find(b"\xff", place)) >= 0:
        length = mpeg_frame(data[place : place + 4])
        if length is not None and mpeg_frame(data[place + length : place + length + 4]) is not None:
            return place
        place += 1
    return None


def _promised(data: bytes | mmap, start: int) -> int | None:
    """Number of frames of sound stated by the first frame; None if it states none."""
    note = _note(data, start)
    if note is None and data[start + 36 : start + 40] == b"VBRI":
        note = int.from_bytes(data[start + 50 : start + 54], "big")
    return note


def _note(data: bytes | mmap, start: int) -> int | None:
    """Number of frames in a Xing or Info header; None if the frame at `start` is not one."""
    place = start + 4 + _side_bytes(data[start : start + 4])
    if data[place : place + 4] not in (b"Xing", b"Info") or not data[place + 7] & 1:
        return None
    return int.from_bytes(data[place + 8 : place + 12], "big")


def _side_bytes(head: bytes | bytearray) -> int:
    """Size of the side information after a frame's header; depends on version and number of channels."""
    mono = head[3] >> 6 == 3
    return (17 if mono else 32) if head[1] & 8 else (9 if mono else 17)
