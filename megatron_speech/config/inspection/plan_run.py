"""Settings of `plan_run`: a training run's settings, where it runs, and what it eats."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.inspection.plan_parameters import PlanParametersConfig

MOST = 1e18
"""No amount of data, and nothing of a cluster, is larger."""
LEAST_RATE = 1e-6


@dataclass(frozen=True, kw_only=True)
class CorporaConfig:
    """Speech and text that exist or can be made; 0 for none."""

    speech_hours: float = 0.0
    """Hours of speech without transcripts."""
    supervised_hours: float = 0.0
    """Hours of speech with transcripts."""
    supervised_text_tokens: float = 0.0
    """Text tokens of these transcripts."""
    interleave_text_tokens: float = 0.0
    """Text tokens of the documents from which interleaved ones are made."""
    interleave_ratio: float = 0.3
    """Share of that text that becomes speech."""
    text_tokens: float = 0.0
    """Text tokens of plain text."""
    frame_rate: float = 12.5
    """Speech tokens per second."""
    text_tokens_per_second: float = 3.28
    """Text tokens in a second of speech."""
    synthesis_tokens_per_second: float = 25_000.0
    """Speech tokens that a GPU synthesises per second; 25,000 is the paper's on an H800."""
    epochs: dict[str, float] = field(default_factory=dict)
    """Epochs of interleaved, speech, supervised and text. Empty: one each, and text as much as the run has left."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "epochs" and not 0 <= value <= MOST:  # false for nan too
                raise ValueError(f"corpora.{name}={value} must be at least 0 and at most {MOST:g}; correct it")
        for name in ("frame_rate", "text_tokens_per_second", "synthesis_tokens_per_second"):
            if getattr(self, name) < LEAST_RATE:
                raise ValueError(f"corpora.{name}={getattr(self, name)} must be at least {LEAST_RATE:g}; correct it")
        if self.interleave_ratio > 1:
            raise ValueError(f"corpora.interleave_ratio={self.interleave_ratio} must be at most 1; it is a share")
        for name, epochs in self.epochs.items():
            if name not in ("interleaved", "speech", "supervised", "text"):
                raise ValueError(
                    f"corpora.epochs.{name} is no kind; kinds are interleaved, speech, supervised and text"
                )
            if not 0 <= epochs <= MOST:
                raise ValueError(f"corpora.epochs.{name}={epochs} must be at least 0 and at most {MOST:g}; correct it")


@dataclass(frozen=True, kw_only=True)
class SiteConfig:
    """What a cluster costs and how often it fails."""

    prices: Path | None = None
    """YAML file with prices: gpu_hour by GPU name, kilowatt_hour, terabyte_month (shards and kept checkpoints, for as
    long as the run lasts); null leaves money out."""
    failure_gpu_hours: float = 50_000.0
    """GPU-hours between two failures. Llama 3's report counts 419 in 54 days of 16,384 H100s: one in 50,700."""
    restart_minutes: float = 15.0
    """From a failure until the run trains again."""
    storage_gb_s: float = 20.0
    """Rate at which all nodes together write a checkpoint, in GB/s."""
    power_overhead: float = 1.6
    """Power of the whole site per watt of its GPUs: hosts, network, cooling."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "prices" and not 0 < value <= MOST:  # false for nan too
                raise ValueError(f"site.{name}={value} must be above 0 and at most {MOST:g}; correct it")


@dataclass(frozen=True, kw_only=True)
class PlanRunConfig(PlanParametersConfig):
    """Predict what a training run (its YAML file) needs and costs on some GPUs, before it is queued."""

    gpus: int
    """Number of GPUs."""
    gpu: str = "H100"
    """Their data sheet; the beginning of its name is enough."""
    stack: str = "megatron"
    """Software stack whose fitted scalar counts; megatron is this project's training with Transformer Engine."""
    search: bool = True
    """Also search all other layouts for the fastest that fits."""
    least_efficiency: float = 0.8
    """Share of the speed per GPU below which strong scaling is called too far."""
    scaling_prior: Literal["from_scratch", "text_initialised"] | None = None
    """Scaling law by which model and data are weighed; null for none."""
    corpora: CorporaConfig = field(default_factory=CorporaConfig)
    """Speech and text from which sources are made."""
    site: SiteConfig = field(default_factory=SiteConfig)
    """Costs and failures."""
    from_run: Path | None = None
    """Folder of a finished run, whose measured speed is laid beside the prediction; its settings are taken from there.
    """
    json: bool = False
    """Print JSON, not tables."""
    figure: Path | None = None
    """PNG file for memory and time by component and pipeline stage."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.gpus <= 1_000_000:
            raise ValueError(f"gpus={self.gpus} must lie in 1 to 1,000,000; correct it")
        if not 0 < self.least_efficiency < 1:
            raise ValueError(f"least_efficiency={self.least_efficiency} must lie between 0 and 1; correct it")
        if self.figure is not None and (self.figure.suffix.lower() != ".png" or self.figure.is_dir()):
            raise ValueError(f"figure={self.figure} must name a .png file; correct it")
