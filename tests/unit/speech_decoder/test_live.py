"""Lines of codes to raw samples: what a line may be, where an utterance ends, and that bad lines end no stream."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from megatron_speech.config.inspection.stream_decode import StreamDecodeConfig
from megatron_speech.config.stages.causal_decoder import SpeakingConfig
from megatron_speech.speech_decoder.live import stream_decode
from megatron_speech.speech_decoder.mel import MelSettings
from megatron_speech.speech_decoder.table import load_speech_decoder
from megatron_speech.speech_decoder.vocoder import HifiGan
from tests.unit.speech_decoder.causal_toys import toy_net
from tests.unit.speech_decoder.toys import VOCODER

SPEAKING = SpeakingConfig(voice="ada", steps=1)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> StreamDecodeConfig:
    root = tmp_path_factory.mktemp("decoder")
    for name in ("net", "vocoder"):
        (root / name).mkdir()
    toy_net().save(root / "net")
    (root / "vocoder" / "config.json").write_text(json.dumps(VOCODER))
    vocoder = HifiGan(mel=MelSettings(), upsample_initial_channel=32)
    save_file(vocoder.state_dict(), root / "vocoder" / "model.safetensors")
    return StreamDecodeConfig(decoder=root / "net", vocoder=root / "vocoder", speaking=SPEAKING)


def sound(config: StreamDecodeConfig, text: str) -> tuple[np.ndarray, list[str]]:
    """Samples and lines about them, of lines of codes that are all good."""
    samples: list[bytes] = []
    notes: list[str] = []
    stream_decode(config, io.BytesIO(text.encode()), samples.append, notes.append)
    return np.frombuffer(b"".join(samples), "<i2"), notes


def whole(config: StreamDecodeConfig, *utterances: list[int]) -> np.ndarray:
    decoder = load_speech_decoder(config.decoder, config.vocoder)
    waves = [decoder.decode(np.array(codes, np.int32), SPEAKING) for codes in utterances]
    return np.rint(np.concatenate(waves).clip(-1, 1) * 32767)


@pytest.mark.parametrize(
    "text",
    [
        "1\n2\n3\n4\n5\n6\n7\n",
        "[1, 2, 3]\n[]\n[4, 5, 6, 7]",
        '{"start": 0, "codes": [1, 2]}\n{"start": 0.16, "codes": [3, 4, 5, 6, 7]}\n{"seconds": 0.56, "tokens": 7}\n',
        '{"codes": [1, 2, 3, 4, 5, 6, 7], "frame_rate": 12.5, "codebook_size": 64, "speech_fingerprint": "toy"}\n',
    ],
)
def test_every_form_of_line_gives_the_sound_of_the_whole(config: StreamDecodeConfig, text: str) -> None:
    made, notes = sound(config, text)
    expected = whole(config, [1, 2, 3, 4, 5, 6, 7])
    assert len(made) == len(expected) > 12_000 and np.abs(made - expected).max() <= 1
    assert notes[0].endswith("aplay -t raw -f S16_LE -r 22050")
    summary = json.loads(notes[-1])
    assert summary["seconds"] == round(len(made) / 22050, 4) and summary["tokens"] == 7
    assert summary["real_time_factor"] > 0


def test_the_summary_tells_the_tokens_before_the_first_sound(config: StreamDecodeConfig) -> None:
    assert json.loads(sound(config, "1\n" * 9)[1][-1])["tokens_before_sound"] == 6
    assert json.loads(sound(config, "1\n")[1][-1])["tokens_before_sound"] is None


def test_an_empty_line_ends_an_utterance(config: StreamDecodeConfig) -> None:
    made, _ = sound(config, "\n1\n2\n\n \n[3, 4]\n\n")
    assert np.abs(made - whole(config, [1, 2], [3, 4])).max() <= 1


def test_no_codes_give_no_sound(config: StreamDecodeConfig) -> None:
    for text in ("", "\n\n", "[]\n", "{}\n"):
        made, notes = sound(config, text)
        summary = {"seconds": 0.0, "tokens": 0, "tokens_before_sound": None, "real_time_factor": None}
        assert not len(made) and json.loads(notes[-1]) == summary


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("x", "is neither a code nor JSON; send a code, a list of codes, or a line of stream_speech"),
        ("[1, 2", "is neither a code nor JSON"),
        ("\x00\x01", "is neither a code nor JSON"),
        ("[" * 100_000, "is neither a code nor JSON"),
        ("64", r"'64' is no code; a code is a whole number in 0 \.\. 63"),
        ("-1", "'-1' is no code"),
        ("1.5", r"'1\.5' is no code"),
        ("true", "'True' is no code"),
        ("null", "'None' is no code"),
        ("NaN", "'nan' is no code"),
        ("1e400", "'inf' is no code"),
        ("[1, [2]]", r"'\[2\]' is no code"),
        ('["1"]', "'1' is no code"),
        ('{"codes": "12"}', "'12' is no code"),
        ('{"codes": {"a": 1}}', ".*is no code"),
        ("9" * 50, f"'{'9' * 40}' is no code"),
        (
            '{"codes": [1], "speech_fingerprint": "another"}',
            "codes: made by speech tokenizer another, but the speech decoder was trained with toy;",
        ),
    ],
)
def test_a_bad_line_is_left_out_and_the_stream_lives(config: StreamDecodeConfig, line: str, says: str) -> None:
    samples: list[bytes] = []
    notes: list[str] = []
    pipe = io.BytesIO(f"[1, 2, 3]\n{line}\n[4, 5]\n".encode())
    with pytest.raises(ValueError, match=rf"^standard input, line 2: {says}.*\(lines left out: 1\)$"):
        stream_decode(config, pipe, samples.append, notes.append)
    made = np.frombuffer(b"".join(samples), "<i2")
    assert np.abs(made - whole(config, [1, 2, 3, 4, 5])).max() <= 1
    assert notes[1].startswith("left out: standard input, line 2: ") and json.loads(notes[-1])["tokens"] == 5


def test_a_voice_that_was_not_trained_is_refused_at_once(config: StreamDecodeConfig, tmp_path: Path) -> None:
    other = StreamDecodeConfig(
        decoder=config.decoder, vocoder=config.vocoder, speaking=SpeakingConfig(voice="cy", steps=1)
    )
    with pytest.raises(ValueError, match="voice=cy was not trained; use one of ada, bo, or null"):
        stream_decode(other, io.BytesIO(b"1\n"), lambda samples: None, lambda line: None)
