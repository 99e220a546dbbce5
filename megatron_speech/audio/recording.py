"""An audio file, open: what it is, whether it is whole, and any part of it, exact to the sample.

libsndfile decodes. A file is opened once for all of its parts, and a part is reached by one seek, so rows that cut up
an hour of speech cost one decode of it; the few kinds that cannot seek are read forward. Whatever goes wrong is an
`AudioError` without a name, for its caller to add (`naming`): libraries raise many errors for hostile bytes.
Cost: memory of the part that is read (and of the file itself, where its header does not know how long it is).
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
"""Kinds, as libsndfile calls them, that say where they end."""
OTHER = ("MP4", "Matroska", "WMA", "AMR", "AAC", "compressed SPHERE")
"""Kinds of `containers` that libsndfile does not decode, or takes for what they are not."""
REMEDY = "convert it to FLAC (ffmpeg -i FILE FILE.flac)"
UNKNOWN_FRAMES = 1 << 40
"""More frames than any file holds: libsndfile's answer for a FLAC file that does not say."""
MP3_PADDING = 2400
"""Samples of silence that an MP3 encoder adds at most: its delay, and what fills the last frame."""
BLOCK = 1 << 18
"""Frames that are decoded at a time."""
NEAR = 1 << 18
"""Frames that are rather decoded than leapt over."""
RUN_UP = 1 << 14
"""Frames that are decoded before those asked for, after a leap: MP3 and Ogg need the earlier ones to be exact."""


class Recording:
    """An open audio file; `close` it, or use it as a context."""

    sample_rate: int
    """Its own, in Hz."""
    channels: int
    num_frames: int
    """Samples of each channel."""

    def __init__(self, source: Path | bytes) -> None:
        """`AudioError` where the file cannot be read, is no audio, is cut short or has an impossible rate."""
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
        """Seconds by which others may find the file longer: an MP3 encoder adds silence, which is not read here."""
        return MP3_PADDING / self.sample_rate if self._kind == "MP3" else 0.0

    def close(self) -> None:
        """Close the file; nothing can be read afterwards."""
        self._file.close()
        self._bytes.close()

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Frames `start` to `stop` (left out: all that follow), float32 [frames, channels].

        `AudioError` where they cannot be decoded, or where the file has fewer frames than it promises.
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
        # A descriptor and no name, so that no ending of a name says what the file is.
        source = self._bytes if isinstance(self._bytes, io.BytesIO) else self._bytes.fileno()
        with _decoding():
            file = _Forward(source, closefd=False)
            if file.subtype == "OPUS":
                file.seek(0)  # without it libsndfile forgets to leave out what comes before the first sample
            return file

    def _reopen(self) -> None:
        self._file.close()
        self._file = self._open()

    def _check(self) -> None:
        kind = self._file.format
        if kind not in READABLE or (kind == "MP3" and self._kind != "MP3"):
            kind = "MPEG audio other than layer III" if kind == "MP3" else kind
            raise AudioError(f"{kind} is not read, as a file that was cut short would pass for whole; {REMEDY}")
        check_rate(self.sample_rate)
        self.num_frames = self._file.frames
        self._forward = not self._file.can_seek()
        # MP3 within WAV: its number counts what the decoder leaves out.
        if self.num_frames >= UNKNOWN_FRAMES or (kind != "MP3" and self._file.subtype == "MPEG_LAYER_III"):
            self._forward, self.num_frames = True, self._count()

    def _count(self) -> int:
        """Frames of a file that does not say, by decoding it once."""
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
        """The next frames, at most so many; none at the end."""
        try:
            with _decoding():
                block: np.ndarray = self._file.read(frames, dtype="float32", always_2d=True)
        except AudioError as error:
            at, self._place = self._place, UNKNOWN_FRAMES  # wherever libsndfile is now
            # FLAC's last frame is torn, or what follows it is none.
            if "lost sync" in str(error) and not self._end_is_there():
                raise _cut(f"the FLAC decoder is lost somewhere behind sample {at}") from error
            raise
        self._place += len(block)
        return block

    def _end_is_there(self) -> bool:
        """Whether the last frame can be decoded, so that what cannot is damage before it."""
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
    """A sound file whose reads only go on, as soundfile's own end with a seek that not all kinds can do."""

    def seekable(self) -> bool:
        return False

    def can_seek(self) -> bool:
        return bool(super().seekable())


class _Bytes(io.BytesIO):
    """A file in memory. libsndfile seeks before the beginning of some damaged ones; there is its beginning, then."""

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return super().seek(max(0, offset) if whence == io.SEEK_SET else offset, whence)


def _cut(what: str) -> AudioError:
    return AudioError(f"cut short, {what}; copy it again from where it is whole", "cut short")


def _whole(source: Path | bytes) -> tuple[BinaryIO, str | None]:
    """The bytes of a file, with a known size, and its kind; `AudioError` where it cannot be read or is cut short."""
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
    """The file where it had to be mended, and its kind; `AudioError` where it is empty or cut short."""
    if is_empty(data):  # which libsndfile takes for no file at all
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
    """What the file system says is an `AudioError`: a path may hold anything, NUL among it."""
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
    """Whatever libsndfile and its wrapper raise is an `AudioError`: bytes may hold anything."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise AudioError(f"not readable as audio ({error.error_string.strip()}); {REMEDY}") from error
    except Exception as error:
        raise AudioError(f"not readable as audio ({type(error).__name__}: {error}); {REMEDY}") from error
