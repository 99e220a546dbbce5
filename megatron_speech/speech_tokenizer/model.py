"""Encoder and decoder in one model; loads and saves its folder: config.json, model.safetensors, tokenizer.json.

The same class holds a Whisper model (no codebook in the configuration), a tokenizer in training and a finished one.
Weights have the names of the released code, so folders can be exchanged with it. A whole model has ``model.encoder.*``
and ``model.decoder.*``. A folder with the encoder only (`quantize_encoder_only`) has names without prefix, such as
``conv1.weight``, and cannot recognise. Limitation: the released code does not know the buffer `position_means` of
tokenizers with `quantize_subtract_position_means`.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn
from transformers.models.whisper.modeling_whisper import WhisperDecoder

from megatron_speech.artifacts.files import naming_file, read_json
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.platform.private_names import use_attention
from megatron_speech.speech_tokenizer.config import WhisperVQConfig
from megatron_speech.speech_tokenizer.encoder import WhisperVQEncoder
from megatron_speech.speech_tokenizer.folder import WEIGHTS, require
from megatron_speech.speech_tokenizer.recognizer import greedy

ENCODER = "model.encoder."
"""Prefix of the encoder's weights in a whole model; a folder with the encoder only has none."""
LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
"""Whisper's language tokens: two or three letters."""
TEXT_FILES = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "preprocessor_config.json")


class EncoderDecoder(nn.Module):
    """Encoder and decoder under the names of Whisper's weights; no decoder with `quantize_encoder_only`."""

    def __init__(self, config: WhisperVQConfig) -> None:
        super().__init__()
        self.encoder = WhisperVQEncoder(config)
        if not config.quantize_encoder_only:
            self.decoder = WhisperDecoder(config)


class SpeechRecognitionModel(nn.Module):
    """Whisper with or without the bottleneck."""

    def __init__(self, config: WhisperVQConfig) -> None:
        super().__init__()
        self.config = config
        use_attention(config, "sdpa")
        self.model = EncoderDecoder(config)

    @property
    def encoder(self) -> WhisperVQEncoder:
        """The encoder, with its pooling and codebook."""
        return self.model.encoder

    @property
    def decoder(self) -> WhisperDecoder:
        """The decoder; a folder with the encoder only has none."""
        return self.model.decoder


class TextSide:
    """Text tokenizer, prompt and forbidden ids of the recogniser, from a Whisper folder.

    `language` is in the prompt of a multilingual Whisper. None takes it from generation_config.json, else "en".
    Raises FileNotFoundError for a missing file, ValueError for a language that the model does not have.
    """

    def __init__(self, folder: Path, vocab_size: int, *, language: str | None = None) -> None:
        self.tokenizer = _read_tokenizer(require(folder / "tokenizer.json"))
        # A transcript that contains "<|...|>" is encoded as text, not as a special token.
        self.tokenizer.encode_special_tokens = True
        # Prompt, with the language of a multilingual model.
        settings = read_json(require(folder / "generation_config.json"))
        names = ["<|startoftranscript|>", "<|notimestamps|>"]
        multilingual = settings.get("is_multilingual", False)
        self.language = language or str(settings.get("language") or "en").strip("<|>")
        """Language of the text, as in the language tokens."""
        if multilingual:
            self._require_language(folder)
            names[1:1] = [f"<|{self.language}|>", "<|transcribe|>"]
        elif self.language != "en":
            raise ValueError(
                f"language={self.language}: {folder} holds an English-only model; use en, or a multilingual Whisper"
            )
        # Special ids, and the logits that forbid others.
        self.prompt = [self._special(name, folder) for name in names]
        self.end = self._special("<|endoftext|>", folder)
        self.suppress_V = forbidden(settings.get("suppress_tokens") or [], vocab_size)
        # Ids above the end of text are languages, tasks and timestamps.
        self.suppress_V[self.end + 1 :] = -torch.inf
        self.suppress_first_V = forbidden(settings.get("begin_suppress_tokens") or [], vocab_size)

    def encode(self, text: str) -> list[int]:
        """Text ids of a transcript as Whisper writes them: with a leading space, without prompt and end."""
        return self.tokenizer.encode(" " + text.strip(), add_special_tokens=False).ids

    def decode(self, ids: list[int]) -> str:
        """Text of `ids`, without special tokens and outer spaces."""
        return self.tokenizer.decode(ids).strip()

    def _require_language(self, folder: Path) -> None:
        known = [found[1] for name in self.tokenizer.get_vocab() if (found := LANGUAGE.fullmatch(name))]
        if self.language not in known:
            raise ValueError(
                f"language={self.language}: {folder / 'tokenizer.json'} has no such language; use one of "
                f"{', '.join(sorted(known))}"
            )

    def _special(self, name: str, folder: Path) -> int:
        token = self.tokenizer.token_to_id(name)
        if token is None:
            raise ValueError(f"{folder / 'tokenizer.json'}: no token {name}; name a Whisper model's folder")
        return token


def forbidden(ids: list[int], vocab_size: int) -> torch.Tensor:
    """Logit bias [V] that forbids `ids`: -inf there, 0 elsewhere."""
    bias_V = torch.zeros(vocab_size)
    bias_V[[token for token in ids if token < vocab_size]] = -torch.inf
    return bias_V


def write_text(
    model: SpeechRecognitionModel, text: TextSide, memory_BTD: torch.Tensor, lengths_B: torch.Tensor, *, max_tokens: int
) -> list[str]:
    """Recognise text from encoder outputs [B, T, D]; `lengths_B` counts the real frames of each clip."""
    device = memory_BTD.device
    ids = greedy(
        model.decoder,
        memory_BTD,
        lengths_B,
        prompt=text.prompt,
        end=text.end,
        suppress_V=text.suppress_V.to(device),
        suppress_first_V=text.suppress_first_V.to(device),
        max_tokens=max_tokens,
    )
    return [text.decode(clip) for clip in ids]


def _read_tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise ValueError(f"{path}: no tokenizer in it ({error}); restore it") from error


def load_config(folder: Path) -> WhisperVQConfig:
    """Read config.json of `folder`; ValueError names a key that is unusable or not implemented."""
    path = require(folder / "config.json")
    values = read_json(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds no JSON object; restore it, or make the folder again")
    if "d_model" not in values:  # of a language model: keys with other names would be passed over
        raise ValueError(f"{path} is of no Whisper model and no speech tokenizer: it lacks d_model; give their folder")
    try:
        config = WhisperVQConfig(**{key: value for key, value in values.items() if key != "model_type"})
    except (StrictDataclassError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is no configuration of a Whisper model ({error}); restore it") from error
    config.require_supported(str(folder))
    return config


def load_model(folder: Path) -> SpeechRecognitionModel:
    """Load the model in `folder`, in evaluation mode.

    Raises FileNotFoundError for a missing file, ValueError for a missing or misshaped weight.
    """
    model = SpeechRecognitionModel(load_config(folder))
    load_weights(model, folder, missing_ok=())
    return model.eval()


def load_weights(model: nn.Module, folder: Path, *, missing_ok: tuple[str, ...]) -> None:
    """Copy the weights of `folder` into `model`, as float32.

    Raises ValueError for a missing weight, unless its name starts with one of `missing_ok`, and for a misshaped one.
    """
    path = require(folder / WEIGHTS)
    wanted = model.state_dict()
    # Weights that `model` does not have are ignored: the output projection (the embedding), or upper layers.
    try:
        with safe_open(path, framework="pt") as file:
            names = {key if key in wanted else ENCODER + key: key for key in file.keys()}  # noqa: SIM118
            state = {key: file.get_tensor(names[key]).float() for key in sorted(names.keys() & wanted.keys())}
    except SafetensorError as error:
        raise ValueError(f"{path}: not readable as safetensors ({error}); it is damaged, make it again") from error
    # Refuse a folder whose weights do not fit its configuration.
    missing = [key for key in wanted if key not in state and not key.startswith(missing_ok)]
    if missing:
        raise ValueError(
            f"{path}: lacks {len(missing)} weights of this model, first {missing[0]}; "
            "name a folder whose files belong together"
        )
    for key, value in state.items():
        if value.shape != wanted[key].shape:
            raise ValueError(
                f"{path}: {key} is {tuple(value.shape)}, config.json says {tuple(wanted[key].shape)}; name a folder "
                "whose files belong together"
            )
    model.load_state_dict(state, strict=False)


def save_model(model: SpeechRecognitionModel, folder: Path, *, text_from: Path, language: str | None = None) -> None:
    """Write config and weights to `folder`, and copy the text tokenizer's files from `text_from`.

    A given `language` is stored in generation_config.json.
    """
    # Configuration.
    folder.mkdir(parents=True, exist_ok=True)
    alone = model.config.quantize_encoder_only
    architecture = "WhisperVQEncoder" if alone else "WhisperVQForConditionalGeneration"
    values = {**model.config.to_dict(), "architectures": [architecture], "model_type": "whisper"}
    (folder / "config.json").write_text(to_json(values, indent=1, sort_keys=True) + "\n")
    # Weights.
    whole = model.state_dict()
    state = {key.removeprefix(ENCODER if alone else ""): value.cpu().contiguous() for key, value in whole.items()}
    with naming_file(folder / WEIGHTS):
        save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    # Text tokenizer.
    for name in TEXT_FILES:
        if (text_from / name).is_file():
            shutil.copyfile(text_from / name, folder / name)
    if language is not None:
        settings = {**read_json(folder / "generation_config.json"), "language": language}
        (folder / "generation_config.json").write_text(to_json(settings, indent=1, sort_keys=True) + "\n")
