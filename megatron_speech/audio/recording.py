"""Open audio files: checks that a file is complete and reads any part of it, exact to the sample.

libsndfile decodes. A file is opened once for all of its parts, and a part is reached by one seek. So rows that cut up
an hour of speech decode it only once. The few formats that cannot seek are read forward.

Every failure is an `AudioError`, because libraries raise many kinds of errors for damaged bytes. The caller adds the
name of the file (`naming`).

Cost: memory for the part that is read, and for the whole file if its header does not state its length.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
import soundfile

from megatron_speech.audio import ogg
from megatron_speech.audio.checks import AudioError, check_rate
from megatron_speech.audio.containers import is_empty, kind_of
from megatron_speech.audio.cut_short import joined, mended, missing

READABLE = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "NIST", "FLAC", "OGG", "MP3")
"""Formats (libsndfile's names) that state where a file ends."""
OTHER = ("MP4", "Matroska", "WMA", "AMR", "AAC", "compressed SPHERE")
"""Formats of `containers` that libsndfile does not decode or mistakes for others."""
REMEDY = "convert it to FLAC (ffmpeg -i FILE FILE.flac)"
UNKNOWN_FRAMES = 1 << 40
"""More frames than any file holds; libsndfile reports such a number for FLAC files that do not state their length."""
MP3_PADDING = 2400
"""Most samples of silence that an MP3 encoder adds: its delay and the padding of the last frame."""
BLOCK = 1 << 18
"""Frames to decode at a time."""
NEAR = 1 << 18
"""Frames up to which decoding on is preferred to a seek."""
RUN_UP = 1 << 14
"""Frames to decode before the requested ones after a seek; MP3 and Ogg need them to be exact."""


class Recording:
    """An open audio file; `close` it, or use it as a context manager."""

    sample_rate: int
    """Sample rate of the file in Hz."""
    channels: int
    num_frames: int
    """Samples per channel."""

    def __init__(self, source: Path | bytes) -> None:
        """Open a file or its bytes; `AudioError` if it is unreadable, not audio, truncated or of an impossible rate."""
        self._bytes, self._kind = _whole(source)
        self._seen_whole = False
        try:
            self._file = self._open()
            self.sample_rate, self.channels = self._file.samplerate, self._file.channels
            self._check()
        except BaseException:
            self._bytes.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def padding_s(self) -> float:
        """Seconds that an MP3 file may seem longer to other readers, which include the silence of its encoder."""
        return MP3_PADDING / self.sample_rate if self._kind == "MP3" else 0.0

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""
        self._file.close()
        self._bytes.close()

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Frames `start` to `stop` (None: to the end), float32 [frames, channels].

        Raises `AudioError` if they cannot be decoded, or if the file has fewer frames than it states.
        """
        stop = self.num_frames if stop is None else stop
        assert 0 <= start <= stop <= self.num_frames, f"{start=} {stop=} {self.num_frames=}"
        if stop < self.num_frames and not self._seen_whole:
            self.read(self.num_frames - 1)
        self._move(start)
        blocks = [np.empty((0, self.channels), np.float32)]
        while self._place < stop and len(block := self._block(min(BLOCK, stop - self._place))):
            blocks.append(block)
        if self._place < stop:
            raise _cut(f"{self._place} of {self.num_frames} samples are there")
        self._seen_whole |= stop == self.num_frames
        return blocks[1] if len(blocks) == 2 else np.concatenate(blocks)

    def _open(self) -> _Forward:
        self._place = 0
        self._bytes.seek(0)
        # By its descriptor, because libsndfile would trust the ending of a name.
        source = self._bytes if isinstance(self._bytes, io.BytesIO) else self._bytes.fileno()
        with _decoding():
            file = _Forward(source, closefd=False)
            if file.subtype == "OPUS":
                file.seek(0)  # otherwise libsndfile returns the pre-skip before the first sample
            return file

    def _reopen(self) -> None:
        self._file.close()
        self._file = self._open()

    def _check(self) -> None:
        kind = self._file.format
        if kind not in READABLE or (kind == "MP3" and self._kind != "MP3"):
            kind = "MPEG audio other than layer III" if kind == "MP3" else kind
            raise AudioError(f"{kind} is not read, because a truncated file would go unnoticed; {REMEDY}")
        check_rate(self.sample_rate)
        self.num_frames = self._file.frames
        self._forward = not self._file.can_seek()
        # The frame count of MP3 in WAV includes frames that the decoder leaves out.
        if self.num_frames >= UNKNOWN_FRAMES or (kind != "MP3" and self._file.subtype == "MPEG_LAYER_III"):
            self._forward, self.num_frames = True, self._count()

    def _count(self) -> int:
        """Number of frames, found by decoding the whole file."""
        while len(self._block(BLOCK)):
            pass
        self._seen_whole = True
        return self._place

    def _move(self, frame: int) -> None:
        if self._forward and frame < self._place:
            self._reopen()
        if not self._forward and not 0 <= frame - self._place <= NEAR:
            with _decoding():
                self._place = self._file.seek(max(0, frame - RUN_UP))
        while self._place < frame and len(self._block(min(BLOCK, frame - self._place))):
            pass

    def _block(self, frames: int) -> np.ndarray:
        """The next frames, at most `frames`; none at the end."""
        try:
            with _decoding():
                block: np.ndarray = self._file.read(frames, dtype="float32", always_2d=True)
        except AudioError as error:
            at, self._place = self._place, UNKNOWN_FRAMES  # libsndfile's position is unknown now
            # Lost sync: the last FLAC frame is truncated, or a frame before it is damaged.
            if "lost sync" in str(error) and not self._end_is_there():
                raise _cut(f"the FLAC decoder loses sync after sample {at}") from error
            raise
        self._place += len(block)
        return block

    def _end_is_there(self) -> bool:
        """Whether the last frame can be decoded, so that an earlier one must be damaged."""
        if self._forward:
            return False
        self._reopen()
        try:
            self._file.seek(self.num_frames - 1)
            return len(self._file.read(1)) == 1
        except soundfile.LibsndfileError:
            return False
        finally:
            self._place = UNKNOWN_FRAMES


class _Forward(soundfile.SoundFile):
    """A sound file that is only read forward; soundfile's own reads end with a seek, which some formats lack."""

    def seekable(self) -> bool:
        return False

    def can_seek(self) -> bool:
        return bool(super().seekable())


class _Bytes(io.BytesIO):
    """A file in memory that clips negative seeks to 0, because libsndfile does such seeks in damaged files."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return super().seek(max(0, offset) if whence == io.SEEK_SET else offset, whence)


def _cut(what: str) -> AudioError:
    return AudioError(f"cut short, {what}; copy it again from a complete file", "cut short")


def _whole(source: Path | bytes) -> tuple[BinaryIO, str | None]:
    """The (mended) bytes of a file and its format; `AudioError` if it is unreadable or truncated."""
    if isinstance(source, bytes):
        changed, kind = _checked(source)
        return _Bytes(changed or source), kind
    with _reading(source), ExitStack() as stack:
        if not stat.S_ISREG(source.stat().st_mode):
            raise AudioError(f"{source}: no file; correct the path", "unreadable")
        file = stack.enter_context(source.open("rb"))
        with mmap(file.fileno(), 0, access=ACCESS_READ) if source.stat().st_size else nullcontext(b"") as data:
            changed, kind = _checked(data)
        if changed:
            return _Bytes(changed), kind
        stack.pop_all()
        return file, kind


def _checked(data: bytes | mmap) -> tuple[bytes | None, str | None]:
    """The mended file (None if it needs no mending) and its format; `AudioError` if it is empty or truncated."""
    if is_empty(data):  # libsndfile would not recognise its format
        raise AudioError("no samples; leave it out", "zero length")
    kind = kind_of(data)
    if kind in OTHER:
        raise AudioError(f"{kind} is not read; {REMEDY}")
    if lack := missing(data, kind):
        raise _cut(lack)
    if kind == "Ogg" and (fault := ogg.fault(data)):
        raise AudioError(fault)
    if joined(data, kind):
        raise AudioError("one file follows another, and only the first is read; make a file of each")
    return mended(data, kind), kind


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn errors of the file system into `AudioError`; ValueError comes from paths with NUL characters."""
    try:
        yield
    except AudioError:
        raise
    except OSError as error:
        raise AudioError(f"{error.filename or path}: {error.strerror}; correct the path", "unreadable") from error
    except ValueError as error:
        raise AudioError(f"{path}: no path ({error}); correct it", "unreadable") from error


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn every error of libsndfile and its wrapper into `AudioError`."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise AudioError(f"not readable as audio ({error.error_string.strip()}); {REMEDY}") from error
    except Exception as error:
        raise AudioError(f"not readable as audio ({type(error).__name__}: {error}); {REMEDY}") from error
