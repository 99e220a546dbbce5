"""SALMon: a folder per task, with pairs of recordings called <word>_<number>_<rest>.wav.

The publisher's rule says which is right: the first of the two names in sorted order. Where other pairs are whole, a
recording that lacks its other is an item with a missing recording.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.files import visible_files
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import ChoiceItem, Passage, spoken

TASKS = (
    "bg_alignment",
    "bg_all_consistency",
    "bg_domain_consistency",
    "gender_consistency",
    "rir_consistency",
    "sentiment_alignment",
    "sentiment_consistency",
    "speaker_consistency",
)


def _read(config: DataSetConfig) -> Iterator[ChoiceItem]:
    folder = config.folder
    tasks = [folder] if folder.name in TASKS else [folder / task for task in TASKS if (folder / task).is_dir()]
    for task in tasks:
        pairs: defaultdict[int, list[Path]] = defaultdict(list)
        for path in visible_files(task, "*.wav"):
            parts = path.stem.split("_")
            if len(parts) < 3 or not parts[1].isdecimal():
                raise ValueError(f"{path}: must be called <word>_<number>_<rest>.wav; correct layout={config.layout}")
            pairs[int(parts[1])].append(path)
        any_pair = any(len(paths) == 2 for paths in pairs.values())
        for number, paths in sorted(pairs.items()):
            candidates = [spoken(path) for path in paths]
            if len(paths) == 1 and any_pair:
                candidates.append(Passage(defect="missing"))
            if len(candidates) != 2:
                raise ValueError(f"{task}: number {number} has {len(paths)} recordings; two are expected")
            yield ChoiceItem(id=f"{task.name}/{number}", subset=task.name, candidates=tuple(candidates), right=0)


SALMON = ItemReader(expects=f"folders {', '.join(TASKS)} with pairs <word>_<number>_<rest>.wav", read=_read)
