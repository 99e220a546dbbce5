"""Transcripts of the human recordings are read as they are written."""

from pathlib import Path

import pytest

from megatron_speech.miniature.recordings import decode_g722, parse_prompts, parse_transcription, read_recordings


def test_prompts_leave_out_sounds_and_comments() -> None:
    text = "; Core: sounds\n\nagent-pass: Please enter your  password.\nbeep: [this is a tone]\nempty:\n"
    text += "silence/1: (1 second of silence)\n"
    assert parse_prompts(text) == {"agent-pass": "Please enter your password."}


def test_transcription() -> None:
    text = "<s> ten of clubs  </s> (001)\n<s> five five  </s> (004)\n"
    assert parse_transcription(text) == {"001": "ten of clubs", "004": "five five"}


def test_no_packages_no_recordings(tmp_path: Path) -> None:
    assert list(read_recordings(tmp_path, min_seconds=1.0, max_seconds=30.0)) == []


def test_an_absent_or_empty_g722_file_is_named(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="reading G.722 needs PyAV")
    (tmp_path / "a.g722").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.g722: (no samples|not readable)"):
        decode_g722(tmp_path / "a.g722")
