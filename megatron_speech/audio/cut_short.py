"""Detect truncated audio files, which would have less speech than their transcript.

libsndfile reads truncated files without an error. This module compares the header with the bytes that follow:

    WAV, RF64, W64, AIFF, CAF, AU, SPHERE  -->  size of the samples
    Ogg (`ogg`)                            -->  mark of the last page
    MP3 (`mp3`)                            -->  number of frames, size of the last one

FLAC is checked while it is decoded. Bytes after the samples (tags, further chunks, garbage) are ignored.

Limitation: a file written to a pipe states no size, so its truncation goes unnoticed. A truncated FLAC file is
noticed unless it ends exactly between two frames.
"""

from __future__ import annotations

import re
import struct
from mmap import mmap
from typing import NamedTuple

from megatron_speech.audio import mp3, ogg
from megatron_speech.audio.containers import flac_promise, flac_sound, skip_id3


class ChunkLayout(NamedTuple):
    """Chunk structure of a file format; a chunk is a name, a size, and that many bytes."""

    first: int
    """Offset of the first chunk."""
    name: bytes
    """Name of the chunk with the samples."""
    size: str
    """`struct` format of a chunk's size."""
    own: int = 0
    """Bytes of name and size that are included in the size."""
    multiple: int = 2
    """Alignment of chunks in bytes."""


LAYOUTS = {
    b"RIFF": ChunkLayout(12, b"data", "<I"),
    b"RF64": ChunkLayout(12, b"data", "<I"),
    b"RIFX": ChunkLayout(12, b"data", ">I"),
    b"FORM": ChunkLayout(12, b"SSND", ">I"),
    b"caff": ChunkLayout(8, b"data", ">q", multiple=1),
    b"riff": ChunkLayout(40, bytes.fromhex("64617461f3acd3118cd100c04f8edb8a"), "<q", own=24, multiple=8),
}
"""Layouts by the first four bytes of a file; the last one is W64."""
AU = {b".snd": ">", b"dns.": "<"}
"""First bytes of AU files, with their byte order."""
READ_TO_THE_END = (b"riff", *AU, b"NIST")
"""First bytes of formats for which libsndfile ignores the stated size and reads all bytes that follow."""
UNKNOWN_SIZE = 1 << 56
"""More bytes than any file holds; a stated size from here on means "unknown"."""
RF64_SIZE_AT = 28
"""Offset of the size of the samples in RF64, where the chunk itself states 0xFFFFFFFF."""


class SampleChunk(NamedTuple):
    """Place and stated size of the samples of a file."""

    start: int
    """Offset of the first byte."""
    size: int | None
    """Stated size in bytes; None if the writer left a placeholder, so that all bytes that follow are samples."""
    size_at: int
    """Offset of the stated size."""
    size_format: str
    own: int = 0
    """Bytes that the stated size includes besides the samples."""


def missing(data: bytes | mmap, kind: str | None) -> str | None:
    """Description of what is missing at the end of a file of format `kind` (`containers.kind_of`).

    None if nothing is known to be missing.
    """
    if kind == "Ogg":
        return ogg.missing(data)
    if kind == "MP3":
        return mp3.missing(data)
    if kind == "FLAC":
        return _missing_of_flac(data)
    samples = samples_of(data)
    if samples is not None and samples.start > len(data):
        return f"its samples begin at byte {samples.start}, after its end"
    if samples is None or samples.size is None or samples.start + samples.size <= len(data):
        return None
    return f"{max(0, len(data) - samples.start)} of {samples.size} bytes of samples are there"


def mended(data: bytes | mmap, kind: str | None) -> bytes | None:
    """A corrected copy of a complete file that libsndfile would read wrongly; None if it needs no correction.

    libsndfile treats some placeholders for the size as "no samples", others as damage. It reads bytes after the
    samples as samples (`READ_TO_THE_END`, and FLAC of unknown length). It guesses the length of an MP3 file without a
    header.
    """
    if kind == "MP3":
        return mp3.with_count(data)
    if kind == "FLAC":
        tagged = data[-128:-125] == b"TAG" and not flac_promise(data, skip_id3(data))
        return data[:-128] if tagged else None
    samples = samples_of(data)
    if samples is None:
        return None
    if samples.size is not None:
        end = samples.start + samples.size
        return data[:end] if data[:4] in READ_TO_THE_END and end < len(data) else None
    size, filled = len(data) - samples.start + samples.own, bytearray(data)
    largest = 256 ** struct.calcsize(samples.size_format) - 1
    struct.pack_into(samples.size_format, filled, samples.size_at, min(size, largest))
    return bytes(filled)


def joined(data: bytes | mmap, kind: str | None) -> bool:
    """Whether several files were concatenated (`cat a.wav b.wav`), so that only the first would be read."""
    if kind == "FLAC":
        sound = flac_sound(data, skip_id3(data))
        return sound is not None and data.find(b"fLaC\0\0\0\x22", sound) >= 0
    samples = samples_of(data)
    if samples is None or samples.size is None:
        return False
    end = samples.start + samples.size
    return any(data[place : place + 4] in (*LAYOUTS, *AU) for place in {end, end + end % 2})


def samples_of(data: bytes | mmap) -> SampleChunk | None:
    """Place and stated size of the samples; None for formats without them, and if the header is incomplete."""
    head = data[:4]
    if head in AU and len(data) >= 12:
        start, size = struct.unpack_from(f"{AU[head]}II", data, 4)
        return SampleChunk(start, _promised(data, start, size), 8, f"{AU[head]}I")
    if head == b"NIST":
        return _samples_of_sphere(data)
    return _samples_of_chunks(data, LAYOUTS[head]) if head in LAYOUTS else None


def _samples_of_chunks(data: bytes | mmap, layout: ChunkLayout) -> SampleChunk | None:
    place, names, sizes = layout.first, len(layout.name), struct.calcsize(layout.size)
    while place + names + sizes <= len(data):
        start, size_at = place + names + sizes, place + names
        size = struct.unpack_from(layout.size, data, size_at)[0] - layout.own
        if data[place:size_at] == layout.name:
            if data[:4] == b"RF64" and size == 0xFFFFFFFF and data[12:16] == b"ds64":
                size = struct.unpack_from("<q", data, RF64_SIZE_AT)[0]
                known = 0 < size < UNKNOWN_SIZE or start == len(data)
                return SampleChunk(start, size if known else None, RF64_SIZE_AT, "<q")
            return SampleChunk(start, _promised(data, start, size), size_at, layout.size, layout.own)
        if size < 0:
            return None
        place = start + size
        place += -place % layout.multiple
    return None


def _promised(data: bytes | mmap, start: int, size: int) -> int | None:
    """`size`, or None if it is a placeholder of a writer to a pipe: 0, -1, or half or all of 32 or 64 bits."""
    behind = len(data) - start
    if size <= 0:
        return 0 if behind <= 0 or _only_chunks(data, start) else None
    stand_in = 0x7FFF0000 <= size <= 0x80000000 or 0xFFFF0000 <= size <= 0xFFFFFFFF or size >= UNKNOWN_SIZE
    return None if size > behind and (stand_in or _counts_header(data, size)) else size


def _counts_header(data: bytes | mmap, size: int) -> bool:
    """Whether a WAV file of correct length states its own length (or 8 bytes less) as the size of the samples."""
    order = {b"RIFF": "<I", b"RIFX": ">I"}.get(data[:4])
    whole = order is not None and struct.unpack_from(order, data, 4)[0] + 8 == len(data)
    return whole and size in (len(data), len(data) - 8)


def _only_chunks(data: bytes | mmap, place: int) -> bool:
    """Whether RIFF or IFF chunks fill the file from `place` on, as they do after an empty chunk of samples."""
    order = "<I" if data[:4] == b"RIFF" else ">I"
    while place + 8 <= len(data) and data[place : place + 4].strip().isalnum():
        size = struct.unpack_from(order, data, place + 4)[0]
        place += 8 + size + size % 2
    return place in (len(data), len(data) + 1)


def _samples_of_sphere(data: bytes | mmap) -> SampleChunk | None:
    begin = re.match(rb"NIST_1A\n\s*(\d{1,9})\n", data[:32])
    head = data[: int(begin[1])] if begin else b""
    fields = dict(re.findall(rb"\n(\w+) -(?:i|s\d) (\d{1,18})(?=\s)", head))
    if begin is None or b"sample_count" not in fields or b"sample_n_bytes" not in fields:
        return None
    width = int(fields[b"sample_n_bytes"]) * int(fields.get(b"channel_count", 1))
    return SampleChunk(len(head), int(fields[b"sample_count"]) * width, 0, "")


def _missing_of_flac(data: bytes | mmap) -> str | None:
    """Check only the metadata; frames are checked while they are decoded."""
    start = skip_id3(data)
    sound = flac_sound(data, start)
    if sound is None:
        return "its metadata are not whole"
    return "no sound follows its metadata" if sound == len(data) and flac_promise(data, start) else None
