"""Settings of the probe of a model's layers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from megatron_speech.config.parsing.bounds import require_device
from megatron_speech.config.parsing.inputs import ModelFolder
from megatron_speech.config.run.evaluation import GeoQaConfig, require_max_items


@dataclass(frozen=True, kw_only=True)
class ProbeLayersConfig:
    """Probe, layer by layer, whether a spoken question is nearest to the same question in writing."""

    model: ModelFolder
    """Hugging Face folder of the model (`convert_to_hf`)."""
    geo_qa: GeoQaConfig
    """Written and spoken questions; answers are not used."""
    output: Path
    """Folder for the manifest, which has the shares, and items.jsonl."""
    device: str = "cpu"
    """Device of the forward pass: cpu, cuda, cuda:<number>, or auto, which is the GPU if there is one."""

    def __post_init__(self) -> None:
        require_device("device", self.device)
        require_max_items("", cloze=None, geo_qa=self.geo_qa)
