"""Runs Whisper's decoder on padded encoder outputs: teacher forcing for training, greedy search for recognition.

The layers are those of transformers. Its own loop over them passes no mask for the encoder outputs, since Whisper
always pads to 30 s, so the loop is written here. Search is greedy because the recogniser measures codes, and a measure
should be deterministic.

Shapes: B clips, S text tokens, T frames of encoder output (memory), D width, V vocabulary.
"""

from __future__ import annotations

import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.models.whisper.modeling_whisper import WhisperDecoder

from megatron_speech.speech_tokenizer.encoder import within

LOOP = 8
"""Number of text tokens that, if they occur twice in a clip, count as a loop of the decoder. Limitation: if the words
are really said twice (a refrain, a list), the text ends before the second time."""


def decode_states(
    decoder: WhisperDecoder,
    tokens_BS: torch.Tensor,
    memory_BTD: torch.Tensor,
    lengths_B: torch.Tensor,
    *,
    cache: EncoderDecoderCache | None = None,
) -> torch.Tensor:
    """Decoder states [B, S, D] of the text tokens [B, S], which follow the tokens in `cache`.

    `lengths_B` counts the real frames of each row of `memory_BTD`.
    """
    past = cache.get_seq_length() if cache is not None else 0
    positions_SD = decoder.embed_positions.weight[past : past + tokens_BS.shape[1]]
    hidden_BSD = decoder.embed_tokens(tokens_BS) * decoder.embed_scale + positions_SD
    hidden_BSD = torch.nn.functional.dropout(hidden_BSD, decoder.dropout, decoder.training)
    mask_B11T = within(lengths_B, memory_BTD.shape[1])[:, None, None]
    for layer in decoder.layers:
        # No self-attention mask: transformers is causal for several queries, and text is padded on the right.
        hidden_BSD = layer(hidden_BSD, None, memory_BTD, mask_B11T, past_key_values=cache)
    output_BSD: torch.Tensor = decoder.layer_norm(hidden_BSD)
    return output_BSD


@torch.no_grad()
def greedy(
    decoder: WhisperDecoder,
    memory_BTD: torch.Tensor,
    lengths_B: torch.Tensor,
    *,
    prompt: list[int],
    end: int,
    suppress_V: torch.Tensor,
    suppress_first_V: torch.Tensor,
    max_tokens: int,
) -> list[list[int]]:
    """Greedy search until `end` or `max_tokens`; returns the text ids of each clip, without `prompt` and `end`.

    `suppress_V` is added to all logits and `suppress_first_V` to those of the first token; -inf forbids an id. If the
    last `LOOP` tokens of a clip occurred in it before, they are removed and the clip ends.
    """
    num_clips, device = len(memory_BTD), memory_BTD.device
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    tokens_BS = torch.tensor([prompt] * num_clips, device=device)
    written: list[list[int]] = [[] for _ in range(num_clips)]
    running_B = torch.ones(num_clips, dtype=torch.bool, device=device)
    for step in range(min(max_tokens, decoder.config.max_target_positions - len(prompt))):
        # The most likely token of every clip.
        state_BD = decode_states(decoder, tokens_BS, memory_BTD, lengths_B, cache=cache)[:, -1]
        logits_BV = state_BD @ decoder.embed_tokens.weight.T + suppress_V
        choice_B = (logits_BV + suppress_first_V if step == 0 else logits_BV).argmax(dim=1)
        # Append it to the clips that have not ended.
        running_B &= choice_B != end
        for clip, (token, runs) in enumerate(zip(choice_B.tolist(), running_B.tolist(), strict=True)):
            if not runs:
                continue
            written[clip].append(token)
            if repeats(written[clip]):
                del written[clip][-LOOP:]
                running_B[clip] = False
        if not running_B.any():
            break
        tokens_BS = choice_B[:, None]
    return written


def repeats(written: list[int]) -> bool:
    """Whether the last `LOOP` tokens also occur earlier, without overlap."""
    tail, head = written[-LOOP:], written[:-LOOP]
    return any(head[start : start + LOOP] == tail for start in range(len(head) - LOOP + 1))
