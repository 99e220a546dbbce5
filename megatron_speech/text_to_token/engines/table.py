"""Table of the synthesis engines, by the values of `synthesis.engine`. A new engine is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from megatron_speech.config.stages.text_to_token import SynthesisConfig
from megatron_speech.text_to_token.engines.interface import SynthesisEngine
from megatron_speech.text_to_token.engines.transformers import TransformersEngine
from megatron_speech.text_to_token.engines.vllm import VllmEngine

ENGINES: dict[str, Callable[[Path, SynthesisConfig], SynthesisEngine]] = {
    "transformers": TransformersEngine.load,
    "vllm": VllmEngine.load,
}
"""Each entry loads the text-to-token model of a Hugging Face folder; raises EngineError if it does not start."""


def require_engine(name: str) -> None:
    """Raise ValueError unless `name` is one of `ENGINES`."""
    if name not in ENGINES:
        raise ValueError(f"synthesis.engine={name} must be one of {', '.join(ENGINES)}; correct it")
