"""Initialises a training: Whisper's weights with a bottleneck; the codebook starts at k-means of states.

Rank 0 computes the codebook and broadcasts it, so that all ranks start with the same bits. A tokenizer that is trained
further keeps its codebook and averages. Cost: the other ranks wait for the k-means.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

from megatron_speech.artifacts.facts.speech_tokenizer import PlacedCodebook
from megatron_speech.audio.io import SAMPLE_RATE
from megatron_speech.audio.rates import SpeechRates
from megatron_speech.config.stages.bottleneck import BottleneckConfig
from megatron_speech.config.stages.train_speech_tokenizer import TrainSpeechTokenizerConfig
from megatron_speech.parallel.agree import Stopped, on_rank_zero
from megatron_speech.platform.device import device
from megatron_speech.progress import Progress, follow
from megatron_speech.speech_tokenizer.config import CONV_STRIDE, WhisperVQConfig
from megatron_speech.speech_tokenizer.encoder import mel_batch
from megatron_speech.speech_tokenizer.model import SpeechRecognitionModel, load_config, load_weights
from megatron_speech.speech_tokenizer.quantizer import kmeans, perplexity
from megatron_speech.speech_tokenizer.training.reading import Feed
from megatron_speech.speech_tokenizer.training.states import front_states

logger = logging.getLogger(__name__)

POSITION_WINDOWS = 32
"""Number of 30 s windows in the mean state of a position; the variance of the mean is 1/32 of a state's."""
KMEANS_FRAMES = 60_000
"""Minimum number of frames for k-means; enough for 1,024 codes."""
KMEANS_FRAMES_PER_CODE = 8
"""Frames per code for k-means of larger codebooks."""
UPKEEP = ("quantize_ema_decay", "quantize_commit_coefficient", "quantize_restart_interval", "dropout")
"""Settings that may change when a tokenizer is trained further."""


def bottleneck_model(config: TrainSpeechTokenizerConfig) -> tuple[SpeechRecognitionModel, bool]:
    """Load `config.whisper` with the bottleneck of `config`; the second value says whether its codebook is new.

    Raises ValueError if `config.whisper` is a tokenizer with another bottleneck.
    """
    shape = load_config(config.whisper)
    begins = shape.quantize_vocab_size is None
    before = shape.to_dict()
    narrow(shape, config.bottleneck, dropout=config.dropout)
    if not begins:
        _require_same_shape(before, shape, config)
    shape.require_supported("bottleneck")
    model = SpeechRecognitionModel(shape)
    new = ("codebook.", "ema_", "embed_positions2.", "position_means") if begins else ()
    load_weights(model, config.whisper, missing_ok=tuple(f"model.encoder.{name}" for name in new))
    return model.to(device()), begins


def narrow(shape: WhisperVQConfig, bottleneck: BottleneckConfig, *, dropout: float) -> None:
    """Set the bottleneck's settings in the configuration `shape`; keeps the log-mel floor of a tokenizer."""
    begins = shape.quantize_vocab_size is None
    # The second convolution halves the rate of log-mel frames.
    shape.pooling_kernel_size = SpeechRates.of_token_rate(bottleneck.frame_rate).frames_per_token // CONV_STRIDE
    shape.pooling_type = "avg"
    shape.pooling_position = bottleneck.pooling_position
    shape.encoder_causal_convolution = bottleneck.causal_convolution
    shape.quantize_causal_block_size = bottleneck.block_frames
    if begins and shape.block_frames is not None:
        shape.log_mel_floor = "block"
    shape.quantize_position = bottleneck.quantize_position
    shape.quantize_vocab_size = bottleneck.codebook_size
    shape.quantize_ema_decay = bottleneck.ema_decay
    shape.quantize_commit_coefficient = bottleneck.commit_coefficient
    shape.quantize_restart_interval = bottleneck.restart_interval
    shape.quantize_subtract_position_means = bottleneck.subtract_position_means
    shape.dropout = dropout


def place(
    model: SpeechRecognitionModel, feed: Feed, config: TrainSpeechTokenizerConfig, *, stop: Callable[[], bool]
) -> PlacedCodebook:
    """Initialise position table and codebook; returns facts for the manifest. Collective.

    Raises Stopped if `stop()` is true on rank 0, ValueError for too little speech.
    """

    def work() -> PlacedCodebook:
        place_positions(model, feed, config, stop)
        return _place_codebook(model, feed, config, stop)

    model.eval()
    facts = on_rank_zero(work)
    encoder = model.encoder
    placed = [encoder.codebook.weight, encoder.ema_count, encoder.ema_weight, encoder.embed_positions2.weight]
    if config.bottleneck.subtract_position_means:
        placed.append(encoder.position_means)
    for tensor in placed:
        dist.broadcast(tensor.data, src=0)
    return facts


@torch.no_grad()
def place_positions(
    model: SpeechRecognitionModel, feed: Feed, config: TrainSpeechTokenizerConfig, stop: Callable[[], bool]
) -> None:
    """Initialise the position table after the codebook.

    With `subtract_position_means`, the table starts at the mean state of each position, which is what is subtracted
    before the codebook. Means are over 30 s windows of concatenated utterances, so that all positions have equally many
    states. Otherwise the table starts at 0. Raises ValueError for less speech than one window.
    """
    encoder = model.encoder
    if not config.bottleneck.subtract_position_means:
        encoder.embed_positions2.weight.data.zero_()
        return
    size = model.config.max_samples
    speech = _samples(feed, size * POSITION_WINDOWS)
    whole = len(speech) // size
    if whole == 0:
        folders = ", ".join(str(source.index.folder) for source in feed.sources)
        raise ValueError(f"sources: {folders}: less than {size / SAMPLE_RATE:g} s of speech; add utterances")
    windows = speech[: whole * size].split(size)
    for window in follow(windows, "train_speech_tokenizer: mean states", unit="windows"):
        if stop():
            raise Stopped
        batch = mel_batch([window.to(encoder.position_means.device)], model.config)
        pooled_1TD, lengths_1 = encoder.front(batch)
        means_TD = encoder.before_codebook(pooled_1TD, lengths_1, centered=False)[0] / whole
        encoder.position_means[: len(means_TD)] += means_TD
    encoder.embed_positions2.weight.copy_(encoder.position_means)


def _samples(feed: Feed, num_samples: int) -> torch.Tensor:
    """Concatenate utterances in random order, up to `num_samples` or the end of the sources."""
    waves: list[torch.Tensor] = []
    for source, utterance in feed.order.sample(sum(len(source.index) for source in feed.sources)):
        waves.append(feed.wave(source, utterance))
        num_samples -= len(waves[-1])
        if num_samples <= 0:
            break
    return torch.cat(waves)


@torch.no_grad()
def _place_codebook(
    model: SpeechRecognitionModel, feed: Feed, config: TrainSpeechTokenizerConfig, stop: Callable[[], bool]
) -> PlacedCodebook:
    """Initialise the codebook by k-means of states before it; returns facts for the manifest."""
    # Collect states.
    encoder, size = model.encoder, config.bottleneck.codebook_size
    here = encoder.codebook.weight.device
    frames: list[torch.Tensor] = []
    wanted = max(KMEANS_FRAMES, KMEANS_FRAMES_PER_CODE * size)
    utterances = sum(len(source.index) for source in feed.sources)
    with Progress("train_speech_tokenizer: frames for k-means", unit="frames") as progress:
        for number, (source, utterance) in enumerate(feed.order.sample(utterances), start=1):
            if stop():
                raise Stopped
            states_TD = feed.states(source, utterance)
            if states_TD is None:
                states_TD = front_states(model, [feed.wave(source, utterance)])[0]
            states_1TD = states_TD[None].float().to(here)
            frames.append(encoder.before_codebook(states_1TD, torch.tensor([states_1TD.shape[1]], device=here))[0])
            progress.add(len(frames[-1]))
            progress.share = max(progress.done / wanted, number / utterances)
            if progress.done >= wanted:
                break
    # K-means.
    vectors_ND = torch.cat(frames)
    generator = torch.Generator().manual_seed(config.seed)
    with Progress(f"train_speech_tokenizer: k-means of {len(vectors_ND):,} frames"):
        codebook_KD = kmeans(vectors_ND, size, iterations=config.bottleneck.kmeans_iterations, generator=generator)
    encoder.codebook.weight.copy_(codebook_KD)
    encoder.ema_weight.copy_(codebook_KD)
    # Measure how well it fits.
    codes_N = encoder.quantize(vectors_ND[None])[0]
    residual = (vectors_ND - codebook_KD[codes_N]).square().sum() / (vectors_ND - vectors_ND.mean(0)).square().sum()
    facts = PlacedCodebook(
        kmeans_frames=len(vectors_ND),
        kmeans_residual=round(float(residual), 4),
        kmeans_perplexity=round(perplexity(torch.bincount(codes_N, minlength=size)), 1),
    )
    logger.info(
        "codebook: %s codes placed by k-means of %s frames, of whose variance they leave %.1f %%; perplexity %.0f over "
        "these frames",
        *(f"{size:,}", f"{len(vectors_ND):,}", 100 * float(residual), facts.kmeans_perplexity),
    )
    return facts


def _require_same_shape(before: dict[str, Any], shape: WhisperVQConfig, config: TrainSpeechTokenizerConfig) -> None:
    """Raise ValueError if a tokenizer to train further has another bottleneck, or no recogniser."""
    if shape.quantize_encoder_only:
        raise ValueError(
            f"whisper={config.whisper}: holds its encoder only (quantize_encoder_only), no recogniser for training; "
            "name the folder of the whole tokenizer"
        )
    for key, value in shape.to_dict().items():
        if key.startswith(("pooling_", "quantize_", "encoder_causal")) and key not in UPKEEP and before[key] != value:
            raise ValueError(
                f"whisper={config.whisper}: has {key}={before[key]}, bottleneck says {value}; make them equal, or "
                "start from a Whisper model"
            )
