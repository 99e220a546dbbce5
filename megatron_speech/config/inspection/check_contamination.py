"""Settings of the check of training data for evaluation items."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from megatron_speech.config.parsing.inputs import DocumentsFolder, VocabularyFolder
from megatron_speech.config.stages.evaluation_data import DataSetConfig


@dataclass(frozen=True, kw_only=True)
class CheckContaminationConfig:
    """Find evaluation items in the documents that a model is trained on."""

    data_sets: dict[str, DataSetConfig]
    """Evaluation data sets, by the names of their sets or tasks in evaluate."""
    sources: dict[str, DocumentsFolder]
    """Folders of document shards, interleaved or not, by name."""
    vocabulary: VocabularyFolder
    """Vocabulary folder of the shards."""
    output: Path
    """Folder for contamination.json and leaks.jsonl."""
    corpora: dict[str, Path] = field(default_factory=dict)
    """Where corpora of interleaved shards lie now, by their names in the manifest; needed if they were moved."""
    together: int = 8
    """Neighbouring words of an item that have to stand in a document."""
    fewest: int = 5
    """Items with fewer words are not judged."""
    share: float = 0.8
    """Smallest share of an item's words in one document that counts."""

    def __post_init__(self) -> None:
        for name, given in (("data_sets", self.data_sets), ("sources", self.sources)):
            if not given:
                raise ValueError(f"{name}: none is given; name at least one")
        if not 1 <= self.fewest <= self.together:
            raise ValueError(f"fewest={self.fewest} must be 1 to together={self.together}; 5 of 8 are usual")
        if not 0 < self.share <= 1:
            raise ValueError(f"share={self.share} must be above 0 and at most 1; 0.8 is usual")
