"""Audio shards to shards of bare codes; the codes keep their utterance's key and metadata.

Clips are sorted by length within a window only, so memory is bounded and the documents come out in the audio's order.
Since a clip's codes do not depend on its neighbours, neither window nor batch size is part of the result.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from megatron_speech.artifact import is_made, make_artifact
from megatron_speech.audio.dali_features import DaliFeatures
from megatron_speech.audio.features import Features, torch_features
from megatron_speech.audio.shards import read_audio_shards
from megatron_speech.config.tokenize_speech import TokenizeSpeechConfig
from megatron_speech.data.document import TokenDocument
from megatron_speech.data.shards import write_documents
from megatron_speech.speech_tokenizer.batching import windows
from megatron_speech.speech_tokenizer.quantizer import perplexity
from megatron_speech.speech_tokenizer.tokenizer import SpeechTokenizer
from megatron_speech.vocabulary import Vocabulary

log = logging.getLogger(__name__)

KIND = "speech_codes"
WINDOW = 512
"""Utterances sorted by length at a time."""


def run_tokenization(config: TokenizeSpeechConfig) -> None:
    """Make the code shards of `config`, or say that they are made."""
    inputs = [config.tokenizer, config.audio]
    if is_made(config.output, kind=KIND, config=config, inputs=inputs):
        log.info("%s: already done", config.output)
        return
    features: Features = torch_features
    if config.features != "torch":
        features = DaliFeatures(device="gpu" if config.features == "dali_gpu" else "cpu")
    tokenizer = SpeechTokenizer.load(config.tokenizer, features=features)
    vocabulary = Vocabulary.of_codes(tokenizer.codebook_size, tokenizer.fingerprint)
    counts_K = np.zeros(tokenizer.codebook_size, dtype=np.int64)
    start = time.perf_counter()
    with make_artifact(config.output, kind=KIND, config=config, inputs=inputs) as draft:
        documents = code_documents(tokenizer, config, counts_K)
        draft.facts.update(write_documents(draft.folder, documents, vocabulary=vocabulary, name="codes"))
        draft.facts.update(usage_facts(counts_K, frame_rate=tokenizer.frame_rate))
    # A clock's figure is no fact of the artefact: making it again must give the same manifest.
    log.info("%s: %d tokens per second", config.output, int(counts_K.sum()) / (time.perf_counter() - start))


def code_documents(
    tokenizer: SpeechTokenizer, config: TokenizeSpeechConfig, counts_K: np.ndarray
) -> Iterator[TokenDocument]:
    """The utterances of the audio shards as codes, in the shards' order; `counts_K` is added to."""
    with tqdm(desc=f"encode {config.audio}", unit="s", unit_scale=True) as bar:
        for records in windows(read_audio_shards(config.audio), WINDOW):
            codes = tokenizer.encode(
                [record.waveform for record in records],
                names=[f"{config.audio}: utterance {record.key}" for record in records],
            )
            for record, tokens in zip(records, codes, strict=True):
                counts_K += np.bincount(tokens, minlength=len(counts_K))
                bar.update(len(record.waveform) / tokenizer.sample_rate)
                yield TokenDocument(key=record.key, tokens=tokens, meta=record.meta)


def usage_facts(counts_K: np.ndarray, *, frame_rate: float) -> dict[str, Any]:
    """How a codebook is used: seconds of speech, codes used, perplexity, and the count of every code."""
    return {
        "seconds": round(float(counts_K.sum()) / frame_rate, 2),
        "frame_rate": frame_rate,
        "codebook_size": len(counts_K),
        "codes_used": int((counts_K > 0).sum()),
        "perplexity": round(perplexity(torch.from_numpy(counts_K)), 1),
        "code_counts": counts_K.tolist(),
    }
