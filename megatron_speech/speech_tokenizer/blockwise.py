"""Computes codes block by block with a causal encoder, for streams and for whole clips.

Each block is computed once. The state for later blocks is the last log-mel frames and convolution outputs, and the keys
and values of every layer before the codebook. It is allocated once, for the 30 s of the position table.

Whole clips are computed the same way, one by one. The last bits of a matrix product depend on its shape, and equal
shapes give a stream exactly the codes of the file. Limitation: clips are not batched, which is slow for a small model
on a GPU. On a CPU blocks are cheaper than attention over 30 s.

Shapes: M mel bins, F log-mel frames, T encoder frames, D width, H heads, N frames so far.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer

from megatron_speech.speech_tokenizer.config import CONV_STRIDE
from megatron_speech.speech_tokenizer.encoder import MelBatch, WhisperVQEncoder, float32_convolutions, visible


class KeyValues:
    """Key-value cache of one layer."""

    def __init__(self, encoder: WhisperVQEncoder, size: int) -> None:
        heads = encoder.config.encoder_attention_heads
        memory = encoder.conv1.weight.new_zeros(2, 1, heads, size, encoder.config.d_model // heads)
        self.keys_1HND, self.values_1HND = memory
        self.num = 0

    def append(self, keys_1HTD: torch.Tensor, values_1HTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Append keys and values [1, H, T, D / H]; returns those of all frames so far [1, H, N, D / H]."""
        start, self.num = self.num, self.num + keys_1HTD.shape[2]
        self.keys_1HND[:, :, start : self.num] = keys_1HTD
        self.values_1HND[:, :, start : self.num] = values_1HTD
        return self.keys_1HND[:, :, : self.num], self.values_1HND[:, :, : self.num]


class BlockEncoder:
    """Encodes one clip at a time, from its log-mel frames in the blocks of `config.mel_blocks`."""

    def __init__(self, encoder: WhisperVQEncoder) -> None:
        config = encoder.config
        assert config.mel_blocks is not None, "a bidirectional encoder has no blocks"
        assert config.quantize_vocab_size is not None, "an encoder without codebook has no codes"
        self.encoder, self.causal = encoder, config.encoder_causal_convolution
        sizes = [
            config.max_source_positions if layer < encoder.pool_at else config.max_codes
            for layer in range(encoder.quantize_at)
        ]
        self.layers = [KeyValues(encoder, size) for size in sizes]
        self.reset()

    def reset(self) -> None:
        """Start the next clip, with the same memory."""
        left = 2 if self.causal else 1
        weight = self.encoder.conv1.weight
        self.mel_1MF = weight.new_zeros(1, weight.shape[1], left)
        """Past inputs of the first convolution; zeros before the clip."""
        self.conv_1DF = weight.new_zeros(1, weight.shape[0], left)
        """Past inputs of the second convolution; zeros before the clip."""
        self.num_frames = 0
        for kept in self.layers:
            kept.num = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of the state between blocks."""
        tensors = [self.mel_1MF, self.conv_1DF]
        tensors += [tensor for kept in self.layers for tensor in (kept.keys_1HND, kept.values_1HND)]
        return sum(tensor.nbytes for tensor in tensors)

    @torch.no_grad()
    def step(self, mel_MF: torch.Tensor, *, spoken: int | None = None) -> torch.Tensor:
        """Codes int64 [T] of the next block of log-mel frames [M, F].

        `spoken` marks the last block: the number of log-mel frames of the clip that hold a real sample (`MelBatch`).
        """
        encoder = self.encoder
        # Convolutions and layers at 50 Hz, then pooling.
        hidden_1TD = self._convolve(mel_MF[None], last=spoken is not None)
        start, self.num_frames = self.num_frames, self.num_frames + hidden_1TD.shape[1]
        hidden_1TD = hidden_1TD + encoder.embed_positions.weight[start : self.num_frames]
        mask = self._mask(start, spoken)
        for layer in range(encoder.pool_at):
            hidden_1TD = self._attend(layer, hidden_1TD, mask)
        if encoder.pooling > 1:
            hidden_1TD = F.avg_pool1d(hidden_1TD.transpose(1, 2), encoder.pooling).transpose(1, 2)
        # After the pooling every frame of a block is real, and a block of strictly causal attention is one frame.
        pooled_mask = mask if encoder.pooling == 1 else None
        for layer in range(encoder.pool_at, encoder.quantize_at):
            hidden_1TD = self._attend(layer, hidden_1TD, pooled_mask)
        if encoder.config.quantize_subtract_position_means:
            first = start // encoder.pooling
            hidden_1TD = hidden_1TD - encoder.position_means[first : first + hidden_1TD.shape[1]]
        return encoder.quantize(hidden_1TD)[0]

    @float32_convolutions()
    def _convolve(self, mel_1MF: torch.Tensor, *, last: bool) -> torch.Tensor:
        """Outputs of the convolutions [1, T, D] for the encoder frames that the log-mel frames [1, M, F] complete."""
        conv1, conv2 = self.encoder.conv1, self.encoder.conv2
        mel_1MF = torch.cat([self.mel_1MF, mel_1MF], dim=2)
        self.mel_1MF = mel_1MF[:, :, -2:].clone()
        if last and not self.causal:
            mel_1MF = F.pad(mel_1MF, (0, 1))
        states_1DF = F.gelu(F.conv1d(mel_1MF, conv1.weight, conv1.bias))
        states_1DF = torch.cat([self.conv_1DF, states_1DF], dim=2)
        self.conv_1DF = states_1DF[:, :, -self.conv_1DF.shape[2] :].clone()
        return F.gelu(F.conv1d(states_1DF, conv2.weight, conv2.bias, stride=CONV_STRIDE)).transpose(1, 2)

    def _mask(self, start: int, spoken: int | None) -> torch.Tensor | None:
        """Attention mask [T, N] of the block that starts at encoder frame `start`; None: all frames so far."""
        device = self.mel_1MF.device
        if self.encoder.config.looks_back(0):
            return visible(self.num_frames, 1, device, start=start)
        if spoken is None:
            return None
        return (torch.arange(self.num_frames, device=device) < -(-spoken // CONV_STRIDE))[None]

    def _attend(self, index: int, hidden_1TD: torch.Tensor, mask_TN: torch.Tensor | None) -> torch.Tensor:
        """Apply layer `index` to the frames of a block [1, T, D]; attention sees the frames so far."""
        layer = self.encoder.layers[index]
        assert isinstance(layer, WhisperEncoderLayer)
        attention = layer.self_attn
        normed_1TD = layer.self_attn_layer_norm(hidden_1TD)

        def heads(states_1TD: torch.Tensor) -> torch.Tensor:
            states_1THW: torch.Tensor = states_1TD.unflatten(2, (attention.num_heads, attention.head_dim))
            return states_1THW.transpose(1, 2)

        query_1HTD = heads(attention.q_proj(normed_1TD) * attention.scaling)
        kept = self.layers[index].append(heads(attention.k_proj(normed_1TD)), heads(attention.v_proj(normed_1TD)))
        seen_1HTD = F.scaled_dot_product_attention(query_1HTD, *kept, attn_mask=mask_TN, scale=1.0)
        hidden_1TD = hidden_1TD + attention.out_proj(seen_1HTD.transpose(1, 2).flatten(2))
        inner = layer.activation_fn(layer.fc1(layer.final_layer_norm(hidden_1TD)))
        change_1TD: torch.Tensor = layer.fc2(inner)
        return hidden_1TD + change_1TD


def encode_blockwise(encoder: WhisperVQEncoder, batch: MelBatch) -> list[torch.Tensor]:
    """Codes int64 [T] of each clip of a batch, computed by `BlockEncoder`."""
    blocks = encoder.config.mel_blocks
    assert blocks is not None
    clip = BlockEncoder(encoder)
    codes = []
    for mel_MF, frames, spoken in zip(batch.mel_BMF, batch.frames_B.tolist(), batch.spoken_B.tolist(), strict=True):
        clip.reset()
        parts = mel_MF[:, :frames].split(blocks.sizes(frames), dim=1)
        steps = [clip.step(part) for part in parts[:-1]] + [clip.step(parts[-1], spoken=spoken)]
        codes.append(torch.cat(steps))
    return codes
