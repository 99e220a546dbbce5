"""Audio file formats, recognised by their first bytes; used to refuse files as raw samples and to check file ends."""

from __future__ import annotations

from mmap import mmap

HEAD_BYTES = 4096
"""Bytes that are enough to recognise any format: two MPEG frames of the largest size."""
MAGIC = {
    b"RIFF": "WAV",
    b"RIFX": "WAV",
    b"RF64": "WAV",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"FORM": "AIFF",
    b"ID3": "MP3",
    b"caff": "CAF",
    b".snd": "AU",
    b"dns.": "AU",
    b"riff.\x91\xcf\x11": "W64",
    b"#!AMR": "AMR",
    b"NIST_1A": "SPHERE",
    b"\x1aE\xdf\xa3": "Matroska",
    b"0&\xb2u\x8ef\xcf\x11": "WMA",
}
"""First bytes of each format. Raw samples begin like this only by chance: two loud samples of exactly these values."""
BITRATES = {  # kilobits per second of layer III; by whether it is MPEG version 1
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def container(head: bytes) -> str | None:
    """Name of the file format that begins with `head`; None for anything else, such as raw samples."""
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        return "MP4"
    length = mpeg_frame(head)
    return "MP3" if length is not None and mpeg_frame(head[length:]) is not None else None


def kind_of(data: bytes | mmap) -> str | None:
    """Format of a whole file; unlike `container`, skips ID3 tags (FLAC may follow one) and knows two more formats."""
    behind = skip_id3(data)
    head = data[behind : behind + HEAD_BYTES]
    if head[:1] == b"\xff" and head[1:2] in (b"\xf0", b"\xf1", b"\xf8", b"\xf9"):
        return "AAC"
    if head[:7] == b"NIST_1A" and b",embedded-" in head[:1024]:
        return "compressed SPHERE"
    return container(head) or container(data[:HEAD_BYTES])


def skip_id3(data: bytes | mmap) -> int:
    """Offset of the first byte after the ID3v2 tags at the beginning of a file."""
    place = 0
    while data[place : place + 3] == b"ID3" and len(head := data[place : place + 10]) == 10:
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        place += 10 + size + 10 * (head[5] >> 4 & 1)
    return place


def undecided(head: bytes) -> bool:
    """Whether a longer `head`, up to `HEAD_BYTES`, may change the result of `container`."""
    return len(head) < 12 or (len(head) < HEAD_BYTES and head[0] == 0xFF and head[1] >= 0xE0)


def is_empty(data: bytes | mmap) -> bool:
    """Whether a file holds no sample: it is empty, or FLAC that states no samples and ends after its metadata."""
    return not len(data) or (data[:4] == b"fLaC" and not flac_promise(data, 0) and flac_sound(data, 0) == len(data))


def flac_promise(data: bytes | mmap, start: int) -> int:
    """Number of samples stated by the FLAC file that begins at byte `start`; 0 if unknown."""
    return int.from_bytes(data[start + 18 : start + 26], "big") & ((1 << 36) - 1)


def flac_sound(data: bytes | mmap, start: int) -> int | None:
    """Offset of the first byte after the FLAC metadata that begin at `start`; None if the file ends before it."""
    place, last = start + 4, False
    while not last and place + 4 <= len(data):
        last = data[place] >= 0x80
        place += 4 + int.from_bytes(data[place + 1 : place + 4], "big")
    return place if last and start + 42 <= place <= len(data) else None


def mpeg_frame(head: bytes) -> int | None:
    """Size in bytes of the MPEG layer III frame with the header `head`; None if it is not such a header."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, bitrate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return None
    samples_per_second = (44100, 48000, 32000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    kilobits = BITRATES[version == 3][bitrate - 1]
    return (144 if version == 3 else 72) * kilobits * 1000 // samples_per_second + (head[2] >> 1 & 1)
