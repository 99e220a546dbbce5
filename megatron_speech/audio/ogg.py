"""Check the pages of an Ogg file: the last one ends the stream, none is missing, and all checksums match.

Decoders silently skip damaged and missing pages, and libsndfile reads only the first of several streams. Then the
audio would lack speech that the transcript has.
"""

from __future__ import annotations

import struct
import zlib
from mmap import mmap

HEAD = struct.Struct("<4sBBqIIIB")
"""Header of a page: magic, version, flags, position, stream, page number, checksum, number of segments."""
FIRST, LAST = 2, 4
"""Flags of the pages that begin and end a stream."""
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def missing(data: bytes | mmap) -> str | None:
    """Description of what is missing at the end of the file; None if it is complete."""
    place, flags = 0, 0
    while data[place : place + 4] == b"OggS":
        end = _end(data, place)
        if end is None:
            return "its last page is not whole"
        place, flags = end, data[place + 5]
    return None if flags & LAST else "its last page does not end the stream"


def fault(data: bytes | mmap) -> str | None:
    """Defect of a file for which `missing` is None, with a remedy; None if all pages are good."""
    place, numbers = 0, dict[int, int]()
    begun = False
    while data[place : place + 4] == b"OggS" and (end := _end(data, place)) is not None:
        _, _, flags, _, stream, number, checksum, _ = HEAD.unpack_from(data, place)
        if checksum != _checksum(data[place : place + 22] + bytes(4) + data[place + 26 : end]):
            return f"damaged, page {number} does not match its checksum; copy it again"
        if begun and flags & FIRST:
            return "one stream follows another, and only the first is read; make a file of each"
        if numbers.setdefault(stream, number) != number:
            return f"damaged, page {numbers[stream]} is gone; copy it again"
        begun |= not flags & FIRST
        place, numbers[stream] = end, number + 1
    return None


def _end(data: bytes | mmap, place: int) -> int | None:
    """Offset of the first byte after the page at `place`; None if the file ends inside the page."""
    body = place + HEAD.size
    count = data[body - 1] if body <= len(data) else 0
    lengths = data[body : body + count]
    end = body + count + sum(lengths)
    return end if count == len(lengths) and body <= end <= len(data) else None


def _checksum(page: bytes) -> int:
    """Ogg's checksum: zlib's CRC-32 with reversed bit order, initial value 0 and no final inversion."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
