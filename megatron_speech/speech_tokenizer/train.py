"""Train a speech tokenizer: Whisper's weights, a k-means codebook in the middle, recognition through it.

Up to the pooling the encoder is frozen at first and its states are computed once for all epochs, so that a step costs
only the upper layers at 12.5 Hz and the decoder. That is what a small machine can afford, and it is stable: codes that
move while the layers before them learn need far more data. `unfreeze_at_step` gives the layers below their gradient.
Price: the states of all training speech in memory (float16, 35 MB per hour of Whisper tiny), and the samples too where
something is to be unfrozen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from megatron_speech.artifact import is_made, make_artifact
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.audio.shards import read_audio_shards
from megatron_speech.config.speech_tokenizer import BottleneckConfig, TrainSpeechTokenizerConfig
from megatron_speech.speech_tokenizer.batching import batches_by_length, checked_clips, windows
from megatron_speech.speech_tokenizer.config import WhisperVQConfig
from megatron_speech.speech_tokenizer.encoder import mel_batch
from megatron_speech.speech_tokenizer.loop import Clip, train
from megatron_speech.speech_tokenizer.model import (
    SpeechRecognitionModel,
    TextSide,
    load_config,
    load_weights,
    save_model,
)
from megatron_speech.speech_tokenizer.quantizer import kmeans, perplexity
from megatron_speech.speech_tokenizer.tokenizer import SpeechTokenizer

log = logging.getLogger(__name__)

KIND = "speech_tokenizer"
POSITION_WINDOWS = 32
"""Windows of 30 s over which the mean state of a position is taken; the mean's own noise is 1/32 of the variance."""
KMEANS_FRAMES = 60_000
"""Frames that place the codebook; more would not move 1,024 means."""


def run_training(config: TrainSpeechTokenizerConfig) -> None:
    """Make the tokenizer folder of `config`, or say that it is made."""
    inputs = [config.audio, config.whisper / "config.json", config.whisper / "model.safetensors"]
    if is_made(config.output, kind=KIND, config=config, inputs=inputs):
        log.info("%s: already done", config.output)
        return
    torch.manual_seed(config.seed)
    model = bottleneck_model(config)
    text = TextSide(config.whisper, model.config.vocab_size)
    with make_artifact(config.output, kind=KIND, config=config, inputs=inputs) as draft:
        clips = read_clips(config, model, text)
        place_positions(model, config)
        draft.facts.update(place_codebook(model, clips, config))
        draft.facts.update(train(model, text, clips, config))
        save_model(model, draft.folder, text_from=config.whisper)
        made = SpeechTokenizer.load(draft.folder)
        # What a vocabulary is built from.
        draft.facts["codebook_size"] = made.codebook_size
        draft.facts["frame_rate"] = made.frame_rate
        draft.facts["fingerprint"] = made.fingerprint


def bottleneck_model(config: TrainSpeechTokenizerConfig) -> SpeechRecognitionModel:
    """Whisper's weights with the bottleneck of `config`, its codebook and second position table yet to be placed."""
    shape = load_config(config.whisper)
    narrow(shape, config.bottleneck, dropout=config.dropout)
    shape.require_supported("bottleneck")
    model = SpeechRecognitionModel(shape)
    new = ("codebook.", "ema_", "embed_positions2.", "position_means")
    load_weights(model, config.whisper, missing_ok=tuple(f"model.encoder.{name}" for name in new))
    return model


def narrow(shape: WhisperVQConfig, bottleneck: BottleneckConfig, *, dropout: float) -> None:
    """Put the bottleneck's settings into Whisper's configuration."""
    shape.pooling_kernel_size = int(50 / bottleneck.frame_rate)
    shape.pooling_position = bottleneck.pooling_position
    shape.quantize_position = bottleneck.quantize_position
    shape.quantize_vocab_size = bottleneck.codebook_size
    shape.quantize_ema_decay = bottleneck.ema_decay
    shape.quantize_commit_coefficient = bottleneck.commit_coefficient
    shape.quantize_restart_interval = bottleneck.restart_interval
    shape.quantize_subtract_position_means = bottleneck.subtract_position_means
    shape.dropout = dropout


def read_clips(config: TrainSpeechTokenizerConfig, model: SpeechRecognitionModel, text: TextSide) -> list[Clip]:
    """Every utterance of the audio shards with its text ids and its frozen states."""
    clips: list[Clip] = []
    model.eval()
    with tqdm(desc="front end", unit="s", unit_scale=True) as bar, torch.no_grad():
        for records in windows(read_audio_shards(config.audio), 512):
            names = [f"{config.audio}: utterance {record.key}" for record in records]
            waves = checked_clips(
                [record.waveform for record in records],
                sample_rate=SAMPLE_RATE,
                max_samples=model.config.max_samples,
                names=names,
            )
            states = front_states(model, waves, bar)
            for record, wave, states_TD in zip(records, waves, states, strict=True):
                kept = wave if config.unfreeze_at_step is not None else None
                clips.append(Clip(text.encode(record.text), states_TD, kept))
    return clips


def front_states(model: SpeechRecognitionModel, waves: list[torch.Tensor], bar: Any) -> list[torch.Tensor]:
    """Pooled states [T, D] of waveforms [N], float16, in their order."""
    states: list[torch.Tensor] = [torch.empty(0)] * len(waves)
    for batch in batches_by_length([len(wave) for wave in waves], max_total=60 * SAMPLE_RATE):
        pooled_BTD, lengths_B = model.encoder.front(mel_batch([waves[index] for index in batch], model.config))
        for index, row_TD, length in zip(batch, pooled_BTD, lengths_B.tolist(), strict=True):
            states[index] = row_TD[:length].half()
            bar.update(round(len(waves[index]) / SAMPLE_RATE, 1))
    return states


def place_positions(model: SpeechRecognitionModel, config: TrainSpeechTokenizerConfig) -> None:
    """Start the position table behind the codebook at the mean state of each position over 30 s windows of speech.

    The windows are utterances end to end, so that every position has heard as much as any other. Where the means are
    also subtracted before the codebook, the recogniser gets back what was taken. Without that, the table starts at 0.
    """
    encoder = model.encoder
    if not config.bottleneck.subtract_position_means:
        encoder.embed_positions2.weight.data.zero_()
        return
    size = model.config.max_samples
    speech = np.concatenate(list(_first_samples(config.audio, size * POSITION_WINDOWS)))
    whole = len(speech) // size
    if whole == 0:
        raise ValueError(f"audio={config.audio}: holds less than {size / SAMPLE_RATE:g} s of speech; add utterances")
    with torch.no_grad():
        for window in tqdm(np.split(speech[: whole * size], whole), desc="mean states", unit="window"):
            batch = mel_batch([torch.from_numpy(window)], model.config)
            pooled_1TD, lengths_1 = encoder.front(batch)
            encoder.position_means += encoder.before_codebook(pooled_1TD, lengths_1, centered=False)[0] / whole
        encoder.embed_positions2.weight.copy_(encoder.position_means)


def _first_samples(audio: Path, num_samples: int) -> Iterator[np.ndarray]:
    """Waveforms of the audio shards until they hold `num_samples`."""
    for record in read_audio_shards(audio):
        yield record.waveform
        num_samples -= len(record.waveform)
        if num_samples <= 0:
            return


def place_codebook(
    model: SpeechRecognitionModel, clips: list[Clip], config: TrainSpeechTokenizerConfig
) -> dict[str, Any]:
    """Start the codebook at k-means of the states it will quantise; facts for the manifest."""
    generator = torch.Generator().manual_seed(config.seed)
    encoder = model.encoder
    frames: list[torch.Tensor] = []
    with torch.no_grad():
        for index in torch.randperm(len(clips), generator=generator).tolist():
            states_1TD = clips[index].states_TD[None].float()
            frames.append(encoder.before_codebook(states_1TD, torch.tensor([states_1TD.shape[1]]))[0])
            if sum(map(len, frames)) >= KMEANS_FRAMES:
                break
        vectors_ND = torch.cat(frames)
        size = config.bottleneck.codebook_size
        codebook_KD = kmeans(vectors_ND, size, iterations=config.bottleneck.kmeans_iterations, generator=generator)
        encoder.codebook.weight.copy_(codebook_KD)
        encoder.ema_weight.copy_(codebook_KD)
        codes_N = encoder.quantize(vectors_ND[None])[0]
    residual = (vectors_ND - codebook_KD[codes_N]).square().sum() / (vectors_ND - vectors_ND.mean(0)).square().sum()
    return {
        "kmeans_frames": len(vectors_ND),
        "kmeans_residual": round(float(residual), 4),
        "kmeans_perplexity": round(perplexity(torch.bincount(codes_N, minlength=size)), 1),
    }
