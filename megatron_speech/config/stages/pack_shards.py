"""Settings of `pack_shards`, which packs documents into rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from megatron_speech.config.parsing.bounds import require_bounds
from megatron_speech.config.parsing.inputs import DocumentsFolder
from megatron_speech.config.run.reader import require_local


@dataclass(frozen=True, kw_only=True)
class PackShardsConfig:
    """Pack document shards into rows of fixed length."""

    input: list[DocumentsFolder] | DocumentsFolder
    """Folder of document shards, or a list of folders; document keys must be unique over all folders."""
    output: Path
    """Folder of packed shards to create."""
    name: str = "packed"
    """Prefix of every shard's file name."""
    seq_length: int = 1024
    """Number of inputs per row, S; a row stores S + 1 tokens."""
    algorithm: Literal["concat", "best_fit"] = "concat"
    """'concat' cuts documents at row ends and pads only the last row. 'best_fit' cuts no document that fits into a row,
    but pads rows."""
    cut_speech_spans: bool = True
    """Allow a row to end inside a speech span (speech ids with their begin and end of audio). False ends and pads the
    row before the span."""
    overlong: Literal["error", "drop", "split"] = "error"
    """How to treat what no row can hold: a document (best_fit) or a speech span (cut_speech_spans=false). 'error'
    stops; 'drop' skips the document. 'split' cuts it at the row length, outside uncut speech spans if they fit. Drops
    and cuts are counted."""
    seed: int = 0
    """Seed of the document order."""
    memory: int = 1 << 30
    """Bytes of memory for shuffling, besides 300 MB for the process; rows do not depend on it. Documents pass through
    temporary files in the output folder, as large as the input, in pieces of memory^2 / (16 x input). Raise it for a
    corpus larger than 1,000 x memory."""
    shard_tokens: int = 1 << 28
    """Tokens per shard; 2^28 tokens are 1 GiB."""

    def __post_init__(self) -> None:
        least_length = 2 if self.cut_speech_spans else 3  # room to end a row one token before a span
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
        """The folders of `input`, always as a list."""
        return self.input if isinstance(self.input, list) else [self.input]
