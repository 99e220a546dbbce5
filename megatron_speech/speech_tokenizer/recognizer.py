"""Whisper's decoder over a batch of padded memories: teacher forcing for training, cached greedy search for use.

transformers' own decoder is the parameter holder and its layers do the work; the loop over them is ours because the
library's passes no mask for the encoder side (Whisper always pads to 30 s). Greedy, since a judge should be
deterministic and a tokenizer's recogniser is a measure of its codes, not a product. Legend: B clips, S text tokens,
T memory frames, D width, V vocabulary.
"""

from __future__ import annotations

import torch
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.models.whisper.modeling_whisper import WhisperDecoder

from megatron_speech.speech_tokenizer.encoder import within

LOOP = 8
"""Tokens of which a second round, in one clip, is taken for a decoder caught in a loop. Price: what is really said
twice (a refrain, a list) is cut before its second round, and so is what follows."""


def decode_states(
    decoder: WhisperDecoder,
    tokens_BS: torch.Tensor,
    memory_BTD: torch.Tensor,
    lengths_B: torch.Tensor,
    *,
    cache: EncoderDecoderCache | None = None,
) -> torch.Tensor:
    """Decoder states [B, S, D] for text tokens [B, S], which follow those already in `cache`."""
    past = cache.get_seq_length() if cache is not None else 0
    positions_SD = decoder.embed_positions.weight[past : past + tokens_BS.shape[1]]
    hidden_BSD = decoder.embed_tokens(tokens_BS) * decoder.embed_scale + positions_SD
    hidden_BSD = torch.nn.functional.dropout(hidden_BSD, decoder.dropout, decoder.training)
    mask_B11T = within(lengths_B, memory_BTD.shape[1])[:, None, None]
    for layer in decoder.layers:
        # No self-attention mask: more than one query means causal there, and text is padded on the right.
        hidden_BSD = layer(hidden_BSD, None, memory_BTD, mask_B11T, past_key_values=cache)
    return decoder.layer_norm(hidden_BSD)


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
    """The likeliest next token until `end` or `max_tokens`, per clip, without prompt and end.

    `suppress_V` and `suppress_first_V` are added to the logits (of the first token): -inf forbids. A clip whose last
    `LOOP` tokens it has written before is caught in a loop: it ends, and the second round is taken back.
    """
    num_clips, device = len(memory_BTD), memory_BTD.device
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    tokens_BS = torch.tensor([prompt] * num_clips, device=device)
    written: list[list[int]] = [[] for _ in range(num_clips)]
    running_B = torch.ones(num_clips, dtype=torch.bool, device=device)
    for step in range(min(max_tokens, decoder.config.max_target_positions - len(prompt))):
        state_BD = decode_states(decoder, tokens_BS, memory_BTD, lengths_B, cache=cache)[:, -1]
        logits_BV = state_BD @ decoder.embed_tokens.weight.T + suppress_V
        choice_B = (logits_BV + suppress_first_V if step == 0 else logits_BV).argmax(dim=1)
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
    """Whether the last `LOOP` tokens stand, without overlap, somewhere before."""
    tail, head = written[-LOOP:], written[:-LOOP]
    return any(head[start : start + LOOP] == tail for start in range(len(head) - LOOP + 1))
