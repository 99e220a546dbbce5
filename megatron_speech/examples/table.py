"""The examples by name."""

from __future__ import annotations

from megatron_speech.examples.runner.work import Example
from megatron_speech.examples.steps.claim import CLAIM
from megatron_speech.examples.steps.glm4_9b import GLM4_9B
from megatron_speech.examples.steps.interleave import INTERLEAVE
from megatron_speech.examples.steps.miniature import MINIATURE
from megatron_speech.examples.steps.mixture import MIXTURE
from megatron_speech.examples.steps.own_data import OWN_DATA
from megatron_speech.examples.steps.precision import PRECISION
from megatron_speech.examples.steps.speech_tokenizer import SPEECH_TOKENIZER
from megatron_speech.examples.steps.text_to_token import TEXT_TO_TOKEN

EXAMPLES: dict[str, Example] = {
    "miniature": MINIATURE,
    "own_data": OWN_DATA,
    "claim": CLAIM,
    "interleave": INTERLEAVE,
    "speech_tokenizer": SPEECH_TOKENIZER,
    "text_to_token": TEXT_TO_TOKEN,
    "precision": PRECISION,
    "mixture": MIXTURE,
    "glm4_9b": GLM4_9B,
}
