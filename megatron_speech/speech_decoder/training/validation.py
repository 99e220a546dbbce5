"""Compares decoded mel frames of held-out utterances with their own: the error, and what an error hides.

An L1 loss prefers a blurred spectrogram. So two ratios stand beside it, 1 for the original: how much frames differ from
one to the next, and bands from one to the next. They do not prove quality; word errors and DNSMOS do.
"""

from __future__ import annotations

from functools import partial
from itertools import islice

import torch

from megatron_speech.config.stages.causal_decoder import SpeakingConfig
from megatron_speech.grouping import grouped
from megatron_speech.parallel.agree import divided
from megatron_speech.speech_decoder.causal_mel import CausalMel
from megatron_speech.speech_decoder.training.clips import ClipReader
from megatron_speech.speech_decoder.training.sources import Source

TOGETHER = 8
"""Utterances that a rank decodes at a time."""


def validate(net: CausalMel, reader: ClipReader, *, most: int) -> dict[str, dict[str, float]]:
    """`l1` (nats), `delta_variance` and `band_contrast` (ratios) of the first `most` utterances of each set.

    Leaves `net` in evaluation mode. Collective.
    """
    net.eval()
    results = {}
    for source in reader.sources:
        groups = list(grouped(islice(range(len(source.index)), most), TOGETHER))
        parts = divided(groups, partial(_sums, net, reader, source))
        error, values, moved, moves, contrast, contrasts = torch.tensor(parts, dtype=torch.float64).sum(dim=0).tolist()
        results[source.name] = {
            "l1": round(error / values, 4),
            "delta_variance": round(moved / moves, 4),
            "band_contrast": round(contrast / contrasts, 4),
        }
    return results


def _sums(net: CausalMel, reader: ClipReader, source: Source, utterances: list[int]) -> list[float]:
    """Sums over utterances: absolute error and values; movement and contrast of the decoded and the original frames."""
    total = torch.zeros(6, dtype=torch.float64)
    for utterance in utterances:
        clip = reader.read(source, utterance)
        voice = net.shape.voices[clip.voice - 1] if clip.voice else None
        original = clip.mel_TM.double()
        decoded = net.decode(clip.codes_N, SpeakingConfig(voice=voice)).cpu().double()[: len(original)]
        error = [(decoded - original).abs().sum(), original.new_tensor(original.numel())]
        moved = [mel.diff(dim=0).square().sum() for mel in (decoded, original)]
        # What differs between bands at all times is the voice's colour, which is easy.
        bands = [mel.diff(dim=1) for mel in (decoded, original)]
        contrast = [(each - each.mean(dim=0)).square().sum() for each in bands]
        total += torch.stack([*error, *moved, *contrast])
    sums: list[float] = total.tolist()
    return sums
