"""The examples by name."""

from __future__ import annotations

from examples.glm4_9b.steps import GLM4_9B
from examples.interleave.steps import INTERLEAVE
from examples.miniature.steps import MINIATURE
from examples.mixture.steps import MIXTURE
from examples.own_data.steps import OWN_DATA
from examples.precision.steps import PRECISION
from examples.runner.work import Example
from examples.speech_tokenizer.steps import SPEECH_TOKENIZER
from examples.text_to_token.steps import TEXT_TO_TOKEN

EXAMPLES: dict[str, Example] = {
    "miniature": MINIATURE,
    "own_data": OWN_DATA,
    "interleave": INTERLEAVE,
    "speech_tokenizer": SPEECH_TOKENIZER,
    "text_to_token": TEXT_TO_TOKEN,
    "precision": PRECISION,
    "mixture": MIXTURE,
    "glm4_9b": GLM4_9B,
}
