"""A tiny random model over bytes and 40 speech codes."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from megatron_speech.inference.model import LanguageModel
from megatron_speech.text_tokenizer import TextTokenizer
from megatron_speech.vocabulary import Vocabulary


@pytest.fixture(scope="session")
def model() -> LanguageModel:
    tokenizer = TextTokenizer.load("bytes")
    vocabulary = Vocabulary(num_text_ids=tokenizer.size, num_speech_ids=40, end_of_document=tokenizer.end_of_document)
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=vocabulary.size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        eos_token_id=vocabulary.end_of_document,
    )
    return LanguageModel(network=LlamaForCausalLM(config).eval(), tokenizer=tokenizer, vocabulary=vocabulary)
