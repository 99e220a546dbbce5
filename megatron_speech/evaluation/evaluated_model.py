"""The model of an evaluation: an export, or a checkpoint of a training.

A checkpoint is one global state, whatever layout saved it. It is exported into a folder that is deleted as soon as the
model is in memory, so its scores are those of its export. Cost: that folder takes the disk of the weights for a moment.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from megatron_speech.artifacts.manifest import MANIFEST, read_manifest
from megatron_speech.checkpoint import folder as checkpoints
from megatron_speech.checkpoint.hf_export import convert_to_hf, find_checkpoint
from megatron_speech.config.stages.convert import ConvertToHfConfig
from megatron_speech.inference.model import LanguageModel, loaded_model, read_vocabulary
from megatron_speech.platform.device import resolve_device
from megatron_speech.platform.number_format import Dtype, DtypeSetting, resolve_dtype
from megatron_speech.vocabulary import Vocabulary

CHECKPOINTS = "checkpoints"
"""Folder of a run that holds its checkpoints."""


@dataclass(frozen=True, kw_only=True)
class EvaluatedModel:
    """A model that can be loaded, on whichever disk format it lies."""

    folder: Path
    """Hugging Face folder, or checkpoint."""
    vocabulary_folder: Path | None = None
    """Of a checkpoint: the vocabulary folder of its run. None for a Hugging Face folder."""

    @property
    def name(self) -> str:
        """Its name among others: the folder's, behind that of the run if it is a run's checkpoint."""
        here = self.folder.absolute()
        return f"{here.parent.parent.name}-{here.name}" if here.parent.name == CHECKPOINTS else here.name

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is a checkpoint, not an export."""
        return self.vocabulary_folder is not None

    @property
    def inputs(self) -> list[Path]:
        """Files and artifacts that its answers depend on; the first tells the weights."""
        if self.vocabulary_folder is None:
            return [self.folder]
        return [self.folder / checkpoints.CHECKSUMS, self.vocabulary_folder]

    def vocabulary(self) -> Vocabulary:
        """Its vocabulary, without its weights. Raises FileNotFoundError or ValueError if it cannot be evaluated."""
        if self.vocabulary_folder is None:
            return read_vocabulary(self.folder)
        vocabulary = Vocabulary.load(self.vocabulary_folder)
        vocabulary.require(checkpoints.read_vocabulary(self.folder).fingerprint, holder=str(self.folder))
        return vocabulary

    def load(self, *, dtype: DtypeSetting, device: str, beside: Path) -> tuple[LanguageModel, Dtype]:
        """See `inference.model.loaded_model`; a checkpoint is exported to a folder `beside` an output meanwhile."""
        if self.vocabulary_folder is None:
            return loaded_model(self.folder, dtype=dtype, device=device)
        resolved = self.dtype(dtype, device=device)
        beside.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=beside.parent, prefix=f"{beside.name}.export-") as folder:
            exported = Path(folder) / "hf"
            convert_to_hf(
                ConvertToHfConfig(
                    checkpoint=self.folder, vocabulary=self.vocabulary_folder, output=exported, dtype=resolved
                )
            )
            return loaded_model(exported, dtype=resolved, device=device)

    def dtype(self, setting: DtypeSetting, *, device: str) -> Dtype:
        """The number format in which it would be loaded."""
        return resolve_dtype(setting, key="dtype", gpu=resolve_device(device) != "cpu")[0]

    def trained(self) -> dict[str, Any] | None:
        """Steps and tokens behind its weights; of an export, as far as its checkpoint is still there. None: unknown."""
        checkpoint = self.folder
        if self.vocabulary_folder is None:
            facts = read_manifest(self.folder).facts if (self.folder / MANIFEST).is_file() else {}
            checkpoint = Path(str(facts.get("checkpoint", "")))
            if not checkpoints.is_checkpoint(checkpoint):
                return None
        state = checkpoints.read_state(checkpoint)
        return {"step": state.step, "tokens": {"text": state.text_tokens or 0, "speech": state.speech_tokens or 0}}


def model_at(folder: Path, vocabulary: Path | None) -> EvaluatedModel:
    """The model in a Hugging Face folder, a checkpoint or a run folder (its newest checkpoint).

    Raises ValueError for a checkpoint without the `vocabulary` folder of its run.
    """
    if not (checkpoints.is_checkpoint(folder) or is_run(folder)):
        return EvaluatedModel(folder=folder)
    if vocabulary is None:
        raise ValueError(
            f"vocabulary is missing: {folder} holds checkpoints, which have no tokenizer; name the vocabulary folder "
            "of the run"
        )
    return EvaluatedModel(folder=find_checkpoint(folder), vocabulary_folder=vocabulary)


def models_at(folders: Sequence[Path], vocabulary: Path | None) -> list[EvaluatedModel]:
    """The models in `folders`, in order, each once; a run folder stands for all of its checkpoints.

    Raises ValueError as `model_at`, for a run without a checkpoint, and for two models of one name.
    """
    found: dict[str, EvaluatedModel] = {}
    for folder in folders:
        own = checkpoints.list_checkpoints(folder / CHECKPOINTS) if is_run(folder) else [folder]
        if not own:
            raise ValueError(f"models: {folder} holds no complete checkpoint yet; leave it out, or train on")
        for model in (model_at(each, vocabulary) for each in own):
            other = found.setdefault(model.name, model)
            if other.folder.absolute() != model.folder.absolute():
                raise ValueError(
                    f"models: {other.folder} and {model.folder} would both be {model.name!r} in output; rename one, "
                    "or evaluate it into another output"
                )
    return list(found.values())


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a training run."""
    return (folder / CHECKPOINTS).is_dir()
