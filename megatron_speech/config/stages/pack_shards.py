"""From documents to packed rows: what the packing tool is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.run.reader import require_local


@dataclass(frozen=True, kw_only=True)
class PackShardsConfig:
    """Document shards to packed rows."""

    input: list[Path] | Path
    """Folder of document shards, or a list of folders; document keys must differ between them."""
    output: Path
    """Folder of packed shards to make."""
    name: str = "packed"
    """Beginning of every shard's file name."""
    seq_length: int = 1024
    """S: inputs per row; a row stores S + 1 tokens."""
    algorithm: Literal["concat", "best_fit"] = "concat"
    """'concat' cuts documents at row ends and pads only the last row; 'best_fit' cuts none that fits into a row, and
    pads rows."""
    cut_speech_spans: bool = True
    """Whether a row may end inside a run of speech ids (with its begin and end of audio); false ends it before the run
    and pads it."""
    overlong: Literal["error", "drop", "split"] = "error"
    """What no row can hold, a document with best_fit or a speech span with cut_speech_spans=false: an error; 'drop'
    leaves the document out; 'split' cuts it at the row size, beside speech spans where they are not cut and fit. Left
    out and cut are counted."""
    seed: int = 0
    """Seed of the document order."""
    memory: int = 1 << 30
    """Bytes for shuffling, beside 300 MB for the process; rows do not depend on it. Documents pass through temporary
    files in the output folder, as large as the input, in pieces of memory^2 / (16 x input): raise it for a corpus of
    more than 1,000 x memory."""
    shard_tokens: int = 1 << 28
    """Tokens per shard; 2^28 make 1 GiB."""

    def __post_init__(self) -> None:
        least_length = 2 if self.cut_speech_spans else 3  # a row must be able to end one token before a span
        for name, least in (("seq_length", least_length), ("memory", 1 << 26), ("shard_tokens", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least}; raise it")
        require_bounds("seq_length", self.seq_length, least_length, 1 << 24, "a row must fit in memory")
        if not self.inputs or len(set(self.inputs)) < len(self.inputs):
            names = ", ".join(map(str, self.inputs))
            raise ValueError(f"input=[{names}] must name at least one folder and none twice; correct the list")
        for folder in self.inputs:
            require_local("input", folder)

    @property
    def inputs(self) -> list[Path]:
        """The folders of `input`."""
        return self.input if isinstance(self.input, list) else [self.input]
