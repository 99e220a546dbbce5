"""Table of the speech decoders, by the key `decoder` of config.json. A new decoder is one file and one line here."""

from __future__ import annotations

from pathlib import Path

from megatron_speech.artifacts.files import read_json
from megatron_speech.speech_decoder.causal_decoder import CausalDecoder
from megatron_speech.speech_decoder.causal_mel import NAME as CAUSAL
from megatron_speech.speech_decoder.interface import LoadDecoder, SpeechDecoder
from megatron_speech.speech_decoder.mel_decoder import MelDecoder

TOKEN_TO_MEL = "token_to_mel"
"""Name of `MelDecoder`; also the default for a config.json without the key."""
DECODERS: dict[str, LoadDecoder] = {
    TOKEN_TO_MEL: MelDecoder.load,
    CAUSAL: CausalDecoder.load,
}


def load_speech_decoder(folder: Path, vocoder: Path) -> SpeechDecoder:
    """Load the speech decoder in `folder` with the vocoder in `vocoder`.

    Raises FileNotFoundError for a missing file, ValueError for an unknown decoder or parts that do not fit.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"speech decoder {folder} holds no config.json; run megatron-speech train_speech_decoder first"
        )
    name = read_json(path).get("decoder", TOKEN_TO_MEL)
    if name not in DECODERS:
        raise ValueError(f"{path}: decoder={name} must be one of {', '.join(DECODERS)}; restore the file")
    return DECODERS[name](folder, vocoder)
