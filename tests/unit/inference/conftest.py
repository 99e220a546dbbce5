"""A tiny random model over bytes and 40 speech codes."""

import pytest

from megatron_speech.inference.model import LanguageModel
from megatron_speech.text_tokenizer.tokenizer import TextTokenizer
from tests.toys import byte_vocabulary, tiny_llama


@pytest.fixture(scope="session")
def model() -> LanguageModel:
    vocabulary = byte_vocabulary(40)
    network = tiny_llama(vocabulary, seed=3, initializer_range=0.3)
    return LanguageModel(network=network, tokenizer=TextTokenizer.load("bytes"), vocabulary=vocabulary)
