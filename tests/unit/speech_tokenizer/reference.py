"""The published tokenizer's arithmetic written out in float64 and in loops, to measure the encoder by.

From the description alone: frames, mask, convolutions and layers one element at a time where that is bearable. Slow, no
batches, no caches, and nothing shared with the package but the mel filters of transformers.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erf
from transformers.audio_utils import mel_filter_bank

from megatron_speech.speech_tokenizer.config import WhisperVQConfig

Weights = dict[str, np.ndarray]


def decades(waveform: np.ndarray, num_mel_bins: int, multiple: int) -> np.ndarray:
    """Log10 mel power [frames, bins] of centred, reflected 400-sample Hann windows every 160 samples."""
    length = math.ceil(len(waveform) / multiple) * multiple
    samples = np.pad(np.pad(waveform.astype(np.float64), (0, length - len(waveform))), 200, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    filters = mel_filter_bank(201, num_mel_bins, 0.0, 8000.0, 16000, norm="slaney", mel_scale="slaney")
    frames = [np.abs(np.fft.rfft(samples[start : start + 400] * window)) ** 2 for start in range(0, length, 160)]
    return np.log10(np.maximum(np.array(frames) @ filters, 1e-10))


def log_mel(waveform: np.ndarray, config: WhisperVQConfig) -> np.ndarray:
    """Frames [frames, bins] over the clip's floor, as published, or over the block's where the configuration asks."""
    multiple = 320 * (config.pooling_kernel_size or 1)
    power = decades(waveform, config.num_mel_bins, multiple)
    if config.log_mel_floor != "block":
        return (np.maximum(power, power.max() - 8) + 4) / 4
    block = config.quantize_causal_block_size
    if config.encoder_causal_attention or config.quantize_causal_encoder:
        block = config.pooling_kernel_size or 1
    assert block is not None
    ahead = 0 if config.encoder_causal_convolution else 1
    rows = []
    for frame in range(len(power)):
        # The first block whose states depend on this frame, and the last frame that it sees.
        first = max(frame - ahead, 0) // (2 * block)
        heard = power[: (first + 1) * 2 * block + ahead]
        rows.append((np.maximum(power[frame], heard.max() - 8) + 4) / 4)
    return np.array(rows)


def allowed(size: int, real: int, block: int | None, *, causal: bool) -> np.ndarray:
    """Who may look at whom, [query, key]."""
    mask = np.zeros((size, size), dtype=bool)
    for query in range(size):
        for key in range(size):
            if causal:
                mask[query, key] = key <= query
            else:
                seen = block is None or key <= query or key // block == query // block
                mask[query, key] = seen and key < real
    return mask


def convolve(states: np.ndarray, weights: Weights, name: str, stride: int, *, causal: bool) -> np.ndarray:
    """[frames, in] to [ceil(frames / stride), out] with kernels of 3, then GELU; zeros outside."""
    kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    out = []
    for frame in range(0, len(states), stride):
        total = bias.copy()
        for tap in range(3):
            at = frame + tap - (2 if causal else 1)
            if 0 <= at < len(states):
                total += kernel[:, :, tap] @ states[at]
        out.append(total)
    return gelu(np.array(out))


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + erf(x / math.sqrt(2)))


def norm(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    spread = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    return (x - x.mean(axis=1, keepdims=True)) / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x: np.ndarray, weights: Weights, name: str) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)


def layer(states: np.ndarray, weights: Weights, name: str, heads: int, mask: np.ndarray) -> np.ndarray:
    """One pre-norm Transformer layer."""
    normed = norm(states, weights, f"{name}.self_attn_layer_norm")
    query, key, value = (linear(normed, weights, f"{name}.self_attn.{part}_proj") for part in "qkv")
    width = states.shape[1] // heads
    seen = np.zeros_like(states)
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for row in range(len(states)):
            scores = key[mask[row], part] @ query[row, part] / math.sqrt(width)
            shares = np.exp(scores - scores.max())
            seen[row, part] = shares / shares.sum() @ value[mask[row], part]
    states = states + linear(seen, weights, f"{name}.self_attn.out_proj")
    inner = gelu(linear(norm(states, weights, f"{name}.final_layer_norm"), weights, f"{name}.fc1"))
    return states + linear(inner, weights, f"{name}.fc2")


def encode(waveform: np.ndarray, weights: Weights, config: WhisperVQConfig) -> tuple[np.ndarray, ...]:
    """States before the codebook [codes, width], codes, and (not for an encoder alone) what the recogniser reads."""
    causal = config.encoder_causal_convolution
    states = convolve(log_mel(waveform, config), weights, "conv1", 1, causal=causal)
    states = convolve(states, weights, "conv2", 2, causal=causal)
    states = states + weights["embed_positions.weight"][: len(states)]
    real = math.ceil(math.ceil(len(waveform) / 160) / 2)
    block = config.quantize_causal_block_size
    pooling = config.pooling_kernel_size or 1
    before, codes = np.zeros(0), np.zeros(0, dtype=int)
    num_layers = config.quantize_position if config.quantize_encoder_only else config.encoder_layers
    for index in range(num_layers):
        looks_back = config.encoder_causal_attention
        looks_back |= config.quantize_causal_encoder and index < config.quantize_position
        mask = allowed(len(states), real, block, causal=looks_back)
        states = layer(states, weights, f"layers.{index}", config.encoder_attention_heads, mask)
        if index + 1 == config.pooling_position and config.pooling_kernel_size is not None:
            states = np.array([states[at : at + pooling].mean(axis=0) for at in range(0, len(states), pooling)])
            real, block = math.ceil(real / pooling), block and block // pooling
        if index + 1 == config.quantize_position:
            before = states - weights.get("position_means", np.zeros_like(states))[: len(states)]
            distances = ((before[:, None] - weights["codebook.weight"]) ** 2).sum(axis=2)
            codes = distances.argmin(axis=1)
            states = weights["codebook.weight"][codes] + weights["embed_positions2.weight"][: len(codes)]
    if config.quantize_encoder_only:
        return before, codes
    return before, codes, norm(states, weights, "layer_norm")
