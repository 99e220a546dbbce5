"""Files of an output: fingerprints follow what is in them, and a failed write says which file it was."""

from pathlib import Path

import pytest
from safetensors import SafetensorError

from megatron_speech.artifacts.files import fingerprint_files, naming_file, write_atomic


def test_fingerprints_follow_names_and_contents(tmp_path: Path):
    for name, text in (("a", "1"), ("b", "2")):
        (tmp_path / name).write_text(text)
    paths = [tmp_path / "a", tmp_path / "b"]
    before = fingerprint_files(paths)
    assert fingerprint_files(paths[::-1]) == before
    write_atomic(tmp_path / "b", "3")
    assert (tmp_path / "b").read_text() == "3"
    assert fingerprint_files(paths) != before


def test_a_failed_write_of_safetensors_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "model.safetensors"
    with pytest.raises(OSError, match=r"absent/model\.safetensors: .*is the disk full"), naming_file(path):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
