"""Answers of a model that outlive a kill: those of every finished group of requests, in the draft of an evaluation.

A group is asked whole, in the same batches as without a kill, so the answers are the same to the bit. Cost: the group
under way is asked again. Answers of another protocol, such as that of other code, are forgotten.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from megatron_speech.artifacts.files import fingerprint, naming_file, rename_synced, write_atomic
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.evaluation.tasks.interface import Written

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptAnswers:
    """Answers by task and group, in files of `folder`."""

    folder: Path

    @classmethod
    def of(cls, draft: Path, protocols: Mapping[str, Mapping[str, Any]]) -> KeptAnswers:
        """Those in the folder `draft` that were given by the same `protocols` (entries of protocol.json)."""
        folder = draft / f"answers-{fingerprint([(name, entry['id']) for name, entry in protocols.items()])[:12]}"
        for other in draft.glob("answers-*"):
            if other != folder:
                shutil.rmtree(other)
        folder.mkdir(exist_ok=True)
        return cls(folder)

    def scores(self, task: str, group: int, ask: Callable[[], Sequence[np.ndarray]]) -> list[np.ndarray]:
        """Log-probabilities (nats) of the scored ids of each request: those that are kept, or what `ask` gives."""
        path = self._place(task, group, "npz")
        if not path.is_file():
            answers = ask()
            temporary = path.with_suffix(".tmp")
            with naming_file(temporary), temporary.open("wb") as file:
                counts = np.array([len(each) for each in answers], np.int64)
                np.savez(file, values=np.concatenate([np.empty(0), *answers]), counts=counts)
            rename_synced(temporary, path)
        with np.load(path) as kept:
            return np.split(kept["values"], np.cumsum(kept["counts"]))[:-1]

    def written(self, task: str, group: int, ask: Callable[[], Sequence[Written]]) -> list[Written]:
        """What the model wrote or said after each prompt: what is kept, or what `ask` gives."""
        path = self._place(task, group, "json")
        if not path.is_file():
            write_atomic(path, to_json([[each.reason, *each.tokens] for each in ask()]))
        return [Written(tokens=tuple(tokens), reason=reason) for reason, *tokens in json.loads(path.read_text())]

    def remove(self) -> None:
        """Forget all answers."""
        shutil.rmtree(self.folder)

    def _place(self, task: str, group: int, ending: str) -> Path:
        path = self.folder / f"{task}-{group:02d}.{ending}"
        if path.is_file():
            logger.info("%s: answered before, by an evaluation that did not end", path.name)
        return path
