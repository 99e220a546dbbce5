"""Facts of probes of a model's layers (kind ``layers_probe``)."""

from __future__ import annotations

from dataclasses import dataclass

from megatron_speech.artifacts.facts.estimate import EstimateFacts
from megatron_speech.artifacts.facts.record import Record


@dataclass(frozen=True, kw_only=True)
class LayersProbeFacts(Record):
    """Shares of spoken questions that are nearest to the same question in writing."""

    questions: int
    """Written questions to choose from; chance is one of them."""
    layers: dict[str, EstimateFacts]
    """Share by layer; layer 0 is the embedding."""
