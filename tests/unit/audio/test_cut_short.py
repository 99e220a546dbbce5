"""Recordings that stop early: a whole file of every kind is read, the same one cut anywhere is refused."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from megatron_speech.audio.checks import AudioError
from megatron_speech.audio.containers import kind_of, mpeg_frame
from megatron_speech.audio.cut_short import missing
from megatron_speech.audio.io import decode
from tests.unit.audio.toys import kinds, speech, unknown_length, written


@pytest.mark.parametrize(("kind", "subtype"), kinds())
def test_a_whole_file_is_whole_and_trailing_bytes_change_nothing(kind: str, subtype: str) -> None:
    data = written(kind, subtype)
    waveform, rate, *_ = decode(data, name="clip")
    assert rate == 16000 and 12_000 <= len(waveform) <= 12_600  # some encodings fill their last block
    np.testing.assert_array_equal(decode(data + b"TAG" + bytes(range(1, 126)), name="clip").waveform, waveform)


@pytest.mark.parametrize(("kind", "subtype"), kinds())
@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_never_passes_for_whole(kind: str, subtype: str, share: float) -> None:
    data = written(kind, subtype)
    behind = 5_000 if kind == "CAF" and subtype.startswith("ALAC") else 1  # its table of packets follows the samples
    with pytest.raises(AudioError) as caught:
        decode(data[: int(share * (len(data) - behind + 1))], name="clip")
    assert caught.value.reason in ("cut short", "zero length", "not audio")


@pytest.mark.parametrize("stand_in", [0, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize(("kind", "mark", "behind", "order"), [("WAV", b"data", 4, "<I"), ("AU", b".snd", 8, ">I")])
def test_a_file_from_a_pipe_has_no_size_and_is_read_whole(
    kind: str, mark: bytes, behind: int, order: str, stand_in: int
) -> None:
    data = bytearray(written(kind, "PCM_16"))
    struct.pack_into(order, data, data.index(mark) + behind, stand_in)
    np.testing.assert_array_equal(
        decode(bytes(data), name="clip").waveform, decode(written("WAV", "PCM_16"), name="clip").waveform
    )


@pytest.mark.parametrize("stand_in", [0, -1, (1 << 63) - 1])
@pytest.mark.parametrize(("kind", "mark", "behind", "order"), [("CAF", b"data", 4, ">q"), ("RF64", b"ds64", 16, "<q")])
def test_a_stand_in_of_eight_bytes_is_none_either(
    kind: str, mark: bytes, behind: int, order: str, stand_in: int
) -> None:
    data = bytearray(written(kind, "PCM_16"))
    struct.pack_into(order, data, data.index(mark) + behind, stand_in)
    assert len(decode(bytes(data), name="clip").waveform) == 12_000


@pytest.mark.parametrize("behind", [b"", b"LIST\x04\x00\x00\x00INFO"])
def test_an_empty_file_is_no_stream(behind: bytes) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(0), 16000, format="WAV")
    with pytest.raises(AudioError, match="no samples") as caught:
        decode(buffer.getvalue() + behind, name="clip")
    assert caught.value.reason == "zero length"


def test_a_real_size_beyond_the_end_is_no_stand_in() -> None:
    data = bytearray(written("WAV", "PCM_16"))
    struct.pack_into("<I", data, data.index(b"data") + 4, 3_000_000_000)
    with pytest.raises(AudioError, match="24000 of 3000000000 bytes of samples are there"):
        decode(bytes(data), name="clip")


def test_big_endian_wav_is_wav() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, speech(), 16000, format="WAV", subtype="PCM_16", endian="BIG")
    data = buffer.getvalue()
    assert data[:4] == b"RIFX" and len(decode(data, name="clip").waveform) == 12_000
    with pytest.raises(AudioError, match="cut short, "):
        decode(data[:-2], name="clip")


@pytest.mark.parametrize("channels", [1, 2])
def test_flac_of_unknown_length_is_read_whole(channels: int) -> None:
    data = written("FLAC", "PCM_16", 44100, channels)
    found, expected = decode(unknown_length(data), name="clip"), decode(data, name="clip")
    np.testing.assert_array_equal(found.waveform, expected.waveform)
    assert found[1:] == expected[1:]
    tagged = decode(unknown_length(data) + b"TAG" + bytes(125), name="clip")
    np.testing.assert_array_equal(tagged.waveform, expected.waveform)


@settings(max_examples=50, deadline=None)
@given(cut=st.integers(1, 10_000))
def test_flac_of_unknown_length_cut_within_a_frame_is_cut_short(cut: int) -> None:
    data = unknown_length(written("FLAC", "PCM_16"))
    with pytest.raises(AudioError):
        decode(data[:-cut], name="clip")


def mp3_frames(data: bytes) -> list[bytes]:
    """The frames of an MP3 file of one bit rate at 16 kHz, behind the one that counts them."""
    frames, place = [], 0
    while place < len(data):
        length = mpeg_frame(data[place : place + 4])
        assert length is not None
        frames.append(data[place : place + length])
        place += length
    return frames[1:]


def test_mp3_without_a_count_of_frames_ends_with_a_whole_one() -> None:
    frames = mp3_frames(written("MP3", "MPEG_LAYER_III"))
    bare = b"".join(frames)
    assert len(frames) > 20 and len(decode(bare, name="clip").waveform) >= 12_000
    for tail in (b"TAG" + bytes(125), b"APETAGEX" + bytes(64), bytes(300), b"\xff\xfe\xfd" * 40):
        assert missing(bare + tail, "MP3") is None
    for cut in range(1, len(frames[-1])):
        assert missing(bare[:-cut], "MP3") == "its last frame is not whole"


def test_a_tag_before_the_sound_is_passed_over() -> None:
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 2, 0]) + bytes(256)
    for kind, subtype in (("MP3", "MPEG_LAYER_III"), ("FLAC", "PCM_16")):
        data = written(kind, subtype)
        assert kind_of(tag + data) == kind and len(decode(tag + data, name="clip").waveform) == 12_000
        with pytest.raises(AudioError, match="cut short"):
            decode((tag + data)[:-500], name="clip")


@pytest.mark.parametrize("kind", ["AVR", "PVF", "VOC", "MAT5", "XI", "IRCAM"])
def test_a_kind_that_does_not_say_where_it_ends_is_refused_by_name(kind: str) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, speech(), 16000, format=kind, subtype=soundfile.default_subtype(kind))
    with pytest.raises(AudioError, match=f"clip: {kind} is not read, because a truncated file would go unnoticed"):
        decode(buffer.getvalue(), name="clip")


def test_compressed_sphere_is_no_noise() -> None:
    data = written("NIST", "PCM_16").replace(
        b"sample_count -i", b"sample_coding -s26 pcm,embedded-shorten-v2.00\nsample_count -i"
    )
    with pytest.raises(AudioError, match="clip: compressed SPHERE is not read; convert it to FLAC"):
        decode(data[:9000], name="clip")


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypM4A ", "MP4"),
        (b"\x1aE\xdf\xa3", "Matroska"),
        (b"#!AMR\n", "AMR"),
        (b"0&\xb2u\x8ef\xcf\x11", "WMA"),
        (b"\xff\xf1\x50\x80", "AAC"),
    ],
)
def test_a_kind_that_is_not_decoded_is_refused_by_name(head: bytes, kind: str) -> None:
    with pytest.raises(AudioError, match=f"clip: {kind} is not read; convert it to FLAC"):
        decode(head + bytes(500), name="clip")


@settings(max_examples=300, deadline=None)
@given(
    head=st.sampled_from(
        [b"RIFF", b"RF64", b"RIFX", b"FORM", b"caff", b"riff", b".snd", b"NIST", b"OggS", b"fLaC", b"ID3"]
    ),
    tail=st.binary(max_size=200),
)
def test_no_bytes_raise_anything_else(head: bytes, tail: bytes) -> None:
    with pytest.raises(AudioError):
        decode(head + tail, name="clip")


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@settings(max_examples=100, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_bit_of_an_ogg_file_that_flips_is_noticed(subtype: str, share: float, bit: int) -> None:
    """Its decoder passes over a damaged page, with the speech on it."""
    data = bytearray(written("OGG", subtype))
    data[int(share * len(data))] ^= 1 << bit
    with pytest.raises(AudioError):
        decode(bytes(data), name="clip")


def test_an_ogg_page_that_is_gone_is_noticed() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.tile(speech(), (8, 1)), 16000, format="OGG", subtype="OPUS")
    first, *pages = buffer.getvalue().split(b"OggS")[1:]
    assert len(pages) > 5
    for gone in range(1, len(pages) - 1):
        left = b"".join(b"OggS" + page for page in (first, *pages[:gone], *pages[gone + 1 :]))
        with pytest.raises(AudioError, match=f"clip: damaged, page {gone + 1} is gone; copy it again"):
            decode(left, name="clip")


def test_ogg_files_that_were_joined_are_refused_as_only_the_first_would_be_read() -> None:
    data = written("OGG", "VORBIS")
    with pytest.raises(AudioError, match="clip: one stream follows another, and only the first is read"):
        decode(data + data, name="clip")


def test_mp3_files_that_were_joined_are_read_whole() -> None:
    data = written("MP3", "MPEG_LAYER_III")
    assert 24_000 < len(decode(data + data, name="clip").waveform) < 28_000  # with what the encoder adds
    with pytest.raises(AudioError, match="cut short"):
        decode((data + data)[:-1], name="clip")


@pytest.mark.parametrize(
    ("kind", "subtype"), [("FLAC", "PCM_16"), ("WAV", "PCM_16"), ("AU", "PCM_16"), ("AIFF", "PCM_16")]
)
def test_files_joined_by_cat_are_refused_as_only_the_first_would_be_read(kind: str, subtype: str) -> None:
    data = written(kind, subtype)
    tag = b"ID3\4\0\0\0\0\0\x0a" + bytes(10) if kind == "FLAC" else b""
    with pytest.raises(AudioError, match="one file follows another, and only the first is read"):
        decode(data + tag + data, name="clip")


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
def test_au_of_either_order_of_bytes_is_checked(share: float) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, speech(), 16000, format="AU", subtype="PCM_16", endian="LITTLE")
    data = buffer.getvalue()
    assert len(decode(data, name="clip").waveform) == 12_000
    with pytest.raises(AudioError, match="bytes of samples are there") as caught:
        decode(data[: int(share * len(data))], name="clip")
    assert caught.value.reason == "cut short"


def test_au_whose_samples_begin_behind_its_end_is_cut_short() -> None:
    for size in (0xFFFFFFFF, 1000):
        with pytest.raises(AudioError, match="its samples begin at byte 99999, after its end"):
            decode(b".snd" + struct.pack(">IIIII", 99_999, size, 3, 16000, 1) + bytes(100), name="clip")


@pytest.mark.parametrize("stand_in", [(1 << 63) - 1, (1 << 63) - 2, 1 << 62, 1 << 60])
def test_w64_from_a_pipe_is_read_whole(stand_in: int) -> None:
    data = bytearray(written("W64", "PCM_16"))
    at = data.find(bytes.fromhex("64617461f3acd311")) + 16
    struct.pack_into("<q", data, at, stand_in)
    np.testing.assert_array_equal(
        decode(bytes(data), name="clip").waveform, decode(written("W64", "PCM_16"), name="clip").waveform
    )


@pytest.mark.parametrize("counted", [36, 44])
def test_a_wav_size_that_counts_the_header_is_not_cut_short(counted: int) -> None:
    data = bytearray(written("WAV", "PCM_16"))
    assert data[36:40] == b"data"
    struct.pack_into("<I", data, 40, len(data) - 44 + counted)
    assert len(decode(bytes(data), name="clip").waveform) == 12_000
    with pytest.raises(AudioError, match="cut short"):
        decode(bytes(data[:-2]), name="clip")
    cut = written("WAV", "PCM_16")[:-counted]
    with pytest.raises(AudioError, match="cut short"):
        decode(cut, name="clip")
