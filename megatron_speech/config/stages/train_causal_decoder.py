"""Settings of training a causal speech decoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import MAX_SEED, require_bounds
from megatron_speech.config.parsing.inputs import AudioFolder, CodesFolder, SpeechDecoderFolder, SpeechTokenizerFolder
from megatron_speech.config.stages.causal_decoder import MOST_STEPS, FlowConfig, PriorConfig

NO_PART_OF_RESULT = {
    "read_threads": "threads read clips ahead, but batches use them in a fixed order",
    "log_every_steps": "logging draws no random numbers",
    "checkpoint_every_steps": "a resumed run gives the same bits as an uninterrupted one",
    "max_quarantined_share": "decides whether there is a result, not which",
}
"""Settings that do not affect the trained decoder, with the reason. A resumed run may change them."""


@dataclass(frozen=True, kw_only=True)
class DecoderSourceConfig:
    """One source of speech and its codes."""

    audio: AudioFolder
    """Folder of audio shards."""
    codes: CodesFolder
    """Code shards of the same utterances, matched by key."""
    weight: float = 1.0
    """Share of the sampled utterances, relative to the other sources; 0 leaves the source out."""

    def __post_init__(self) -> None:
        require_bounds("weight", self.weight, 0, 1e15, "1 is even, 0 leaves the source out")


@dataclass(frozen=True, kw_only=True)
class TrainCausalDecoderConfig:
    """Train a causal speech decoder, one stage at a time, on audio shards and their code shards."""

    output: Path
    """Folder for config.json, model.safetensors and tensorboard. Checkpoints lie in <output>.partial until training is
    complete; the same command resumes from the newest."""
    stage: Literal["prior", "flow", "student"]
    """What to train: the prior, the flow on the fixed prior of `start_from`, or the student, which learns from the flow
    of `start_from` to take its steps at once."""
    sources: dict[str, DecoderSourceConfig]
    """Training data, by name."""
    validation: dict[str, DecoderSourceConfig] = field(default_factory=dict)
    """Held-out data, by name, for measuring the losses."""
    tokenizer: SpeechTokenizerFolder
    """Folder of the speech tokenizer that made the codes; its code vectors initialize the embedding of a new prior."""
    start_from: SpeechDecoderFolder | None = None
    """Folder of a causal decoder to go on from: its shape, voices and weights are kept, and voices are added. Null
    begins a new prior."""
    voices: tuple[str, ...] = ()
    """Voices to train on, as named in the metadata under voice or speaker. Empty: all utterances, also those without a
    voice."""
    prior: PriorConfig = field(default_factory=PriorConfig)
    """Shape of a new prior."""
    flow: FlowConfig = field(default_factory=FlowConfig)
    """Shape of a new flow."""
    default_steps: int | None = None
    """Solver steps of the trained decoder, where nothing else is said. Null: 10 for the flow, 2 for the student."""
    teacher_steps: int = 10
    """Steps of the teacher over the whole way from noise to residual."""
    steps: int = 600
    """Optimizer steps."""
    batch_seconds: float = 120.0
    """Seconds of padded speech per optimizer step, over all ranks."""
    micro_batch_seconds: float | None = None
    """Largest number of seconds of padded speech that a rank processes at once. Null processes a rank's share at
    once."""
    clip_seconds: float | None = None
    """Cut longer utterances to clips of this duration, at a random place; null trains on whole utterances."""
    learning_rate: float = 2e-3
    """Peak learning rate of AdamW."""
    warmup_steps: int = 30
    """Steps of linear warm-up, followed by cosine decay to 0."""
    weight_decay: float = 0.01
    """Weight decay of AdamW, applied to matrices only."""
    gradient_clipping: float = 1.0
    """Largest gradient norm over all weights."""
    delta_weight: float = 1.0
    """Weight of the prior's L1 loss on frame-to-frame differences, which counteracts blurred onsets."""
    drop_voice: float = 0.1
    """Probability that an utterance trains without its voice, for guidance and for unknown voices."""
    drop_tokens: float = 0.1
    """Probability that an utterance trains the flow without its codes, for guidance."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of matrix products; weights stay float32. `auto` is bfloat16 where the machine has units for it."""
    silence_peak_dbfs: float | None = -60.0
    """Skip an utterance if its peak lies below this level (decibels of full scale); null also trains on silence."""
    max_quarantined_share: float = 0.01
    """Stop if more than this share of the utterances is unusable: damaged, silent, without codes, or too short."""
    validation_utterances: int = 64
    """Number of utterances from the start of each validation set."""
    validate_every_steps: int | None = None
    """Steps between two validations; null validates only after the last step."""
    seed: int = 0
    """Seed of weights, order, dropout, clips and noise."""
    read_threads: int = 2
    """Threads per rank that read and decode audio ahead."""
    log_every_steps: int = 10
    """Steps between two log lines and TensorBoard points."""
    checkpoint_every_steps: int = 500
    """Steps between two checkpoints; the newest two are kept."""

    def __post_init__(self) -> None:
        for name, least, most, remedy in (
            ("default_steps", 1, MOST_STEPS, "null is 10 for the flow, 2 for the student"),
            ("teacher_steps", 1, MOST_STEPS, "10 is the default"),
            ("steps", 1, 10**9, "600 is the default"),
            ("batch_seconds", 1e-3, 1e6, "120 is the default"),
            ("micro_batch_seconds", 1e-3, 1e6, "null is one part per rank"),
            ("clip_seconds", 0.2, 1e6, "null trains on whole utterances"),
            ("learning_rate", 1e-30, 1, "2e-3 is the default"),
            ("warmup_steps", 0, 10**9, "0 is none"),
            ("weight_decay", 0, 1e6, "0 is none"),
            ("gradient_clipping", 1e-30, 1e30, "1 is usual"),
            ("delta_weight", 0, 1e9, "1 is the default"),
            ("drop_voice", 0, 1, "0.1 is usual, 0 is never"),
            ("drop_tokens", 0, 1, "0.1 is usual, 0 is never"),
            ("silence_peak_dbfs", -1000, 0, "-60 is usual, null learns from silence too"),
            ("max_quarantined_share", 0, 1, "0.01 is usual"),
            ("validation_utterances", 1, 10**9, "64 is the default"),
            ("validate_every_steps", 1, 10**9, "null validates after the last step only"),
            ("seed", 0, MAX_SEED, "0 is the default"),
            ("read_threads", 1, 1024, "2 is the default"),
            ("log_every_steps", 1, 10**9, "10 is the default"),
            ("checkpoint_every_steps", 1, 10**9, "500 is the default"),
        ):
            require_bounds(name, getattr(self, name), least, most, remedy)
        if not any(source.weight > 0 for source in self.sources.values()):
            raise ValueError("sources: none has a weight above 0; name the speech to learn from")
        if self.stage != "prior" and self.start_from is None:
            needed = {"flow": "prior", "student": "flow"}[self.stage]
            raise ValueError(f"stage={self.stage} needs a trained {needed}; give its folder as start_from")
