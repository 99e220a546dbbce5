"""A write that the machine cuts short says so, with the file: not what the file's format or alignment made of it."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from megatron_speech.checkpoint.direct_file import open_direct
from megatron_speech.checkpoint.weights_writer import FILE, write_weights


@contextmanager
def limited(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [8192, 10_000])  # the second leaves an unaligned rest
def test_a_direct_file_tells_the_cause(tmp_path: Path, size: int) -> None:
    with pytest.raises(OSError) as caught, limited(size), open_direct(tmp_path / "file") as file:
        file.write(torch.zeros(100_000, dtype=torch.uint8), torch.uint8)
        file.finish()
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "file"))


def test_a_checkpoint_of_weights_tells_the_cause(tmp_path: Path) -> None:
    tensors = ((f"tensor{number}", None, torch.zeros(10_000)) for number in range(3))
    with pytest.raises(OSError) as caught, limited(60_000):
        write_weights(tmp_path, tensors, num_layers=1)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / FILE))
