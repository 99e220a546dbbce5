"""Which audio file some bytes begin: for who expects raw samples, and for who asks how a file of its kind ends."""

from __future__ import annotations

from mmap import mmap

HEAD_BYTES = 4096
"""Bytes that decide, of whatever begins as MPEG frames do: two of them, the longest there are."""
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
"""What files begin with. As samples, the shortest would be two loud ones, of exactly these values."""
BITRATES = {  # kilobits per second, of layer III
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def container(head: bytes) -> str | None:
    """The name of the kind of file that begins with `head`; None for anything else, raw samples among it."""
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        return "MP4"
    length = mpeg_frame(head)
    return "MP3" if length is not None and mpeg_frame(head[length:]) is not None else None


def kind_of(data: bytes | mmap) -> str | None:
    """`container` of a whole file: FLAC may stand behind a tag of MP3."""
    behind = skip_id3(data)
    head = data[behind : behind + HEAD_BYTES]
    if head[:1] == b"\xff" and head[1:2] in (b"\xf0", b"\xf1", b"\xf8", b"\xf9"):
        return "AAC"
    if head[:7] == b"NIST_1A" and b",embedded-" in head[:1024]:
        return "compressed SPHERE"
    return container(head) or container(data[:HEAD_BYTES])


def skip_id3(data: bytes | mmap) -> int:
    """The first byte behind the ID3v2 tags that a file begins with."""
    place = 0
    while data[place : place + 3] == b"ID3" and len(head := data[place : place + 10]) == 10:
        size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
        place += 10 + size + 10 * (head[5] >> 4 & 1)
    return place


def undecided(head: bytes) -> bool:
    """Whether more of the beginning, up to `HEAD_BYTES`, may change what `container` says."""
    return len(head) < 12 or (len(head) < HEAD_BYTES and head[0] == 0xFF and head[1] >= 0xE0)


def is_empty(data: bytes | mmap) -> bool:
    """Whether a file holds no sample: no byte, or FLAC's metadata, which promises none, and nothing behind it."""
    return not len(data) or (data[:4] == b"fLaC" and not flac_promise(data, 0) and flac_sound(data, 0) == len(data))


def flac_promise(data: bytes | mmap, start: int) -> int:
    """Samples that the FLAC file which begins at byte `start` says it has; 0 where it does not know."""
    return int.from_bytes(data[start + 18 : start + 26], "big") & ((1 << 36) - 1)


def flac_sound(data: bytes | mmap, start: int) -> int | None:
    """The byte behind the metadata of the FLAC file that begins at `start`; None where the file ends before it."""
    place, last = start + 4, False
    while not last and place + 4 <= len(data):
        last = data[place] >= 0x80
        place += 4 + int.from_bytes(data[place + 1 : place + 4], "big")
    return place if last and start + 42 <= place <= len(data) else None


def mpeg_frame(head: bytes) -> int | None:
    """Bytes of the layer III frame that begins here, if one does."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, bitrate, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return None
    samples_per_second = (44100, 48000, 32000)[rate] // {3: 1, 2: 2, 0: 4}[version]
    kilobits = BITRATES[version == 3][bitrate - 1]
    return (144 if version == 3 else 72) * kilobits * 1000 // samples_per_second + (head[2] >> 1 & 1)
