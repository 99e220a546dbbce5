"""Pairs of recordings, one right and one wrong, with context and ending joined: spoken StoryCloze and its kin.

    0012_correct.wav  0012_incorrect.wav         also below a folder per speaker

The two names of a pair begin with the same number. A known word in each name, or the words of the settings, must say
which is right: the order of a directory says nothing. Where other pairs are whole, a recording that lacks its other is
an item with a missing recording. Re-exports of sWUGGY and sBLIMP have this layout too (``12+...wav``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.files import visible_files
from megatron_speech.evaluation.data_sets.interface import ItemReader
from megatron_speech.evaluation.data_sets.items import ChoiceItem, Passage, spoken

WORDS = (
    ("correct", "incorrect"),
    ("right", "wrong"),
    ("true", "false"),
    ("good", "bad"),
    ("pos", "neg"),
    ("positive", "negative"),
    ("word", "nonword"),
    ("grammatical", "ungrammatical"),
)
"""Words for right and wrong in the names of recordings."""
_NUMBER = re.compile(r"(\d+)(?=[^0-9]|$)")


def _read(config: DataSetConfig) -> Iterator[ChoiceItem]:
    pairs: defaultdict[tuple[str, int], list[Path]] = defaultdict(list)
    for path in visible_files(config.folder, "*.wav"):
        begin = _NUMBER.match(path.name)
        if begin is None:
            raise ValueError(f"{path}: must begin with the number of its pair; correct layout={config.layout}")
        pairs[str(path.parent.relative_to(config.folder)), int(begin[1])].append(path)
    words = ((config.right.lower(), config.wrong.lower()),) if config.right else WORDS
    any_pair = any(len(paths) == 2 for paths in pairs.values())
    for (folder, number), paths in sorted(pairs.items()):
        subset = "" if folder == "." else folder
        candidates, right = [spoken(path) for path in paths], 0
        if any_pair and _is_one_of_a_pair(paths, words):
            candidates.append(Passage(defect="missing"))
        else:
            right = which_is_right(paths, words)
        name = f"{subset}/{number}".lstrip("/")
        yield ChoiceItem(id=name, subset=subset, candidates=tuple(candidates), right=right)


def _is_one_of_a_pair(paths: list[Path], words: tuple[tuple[str, str], ...]) -> bool:
    """Whether a name says that its recording is the right or the wrong one, and there is no other."""
    return len(paths) == 1 and any(len(_words(paths[0]) & {*pair}) == 1 for pair in words)


def which_is_right(pair: list[Path], words: tuple[tuple[str, str], ...]) -> int:
    """Place of the right recording of a pair by its name; ValueError if there are not two, or it is not certain."""
    names = ", ".join(path.name for path in pair)
    if len(pair) != 2:
        raise ValueError(f"{pair[0].parent}: {names} must be a pair of one number; add or remove recordings")
    first, second = map(_words, pair)
    found = {0 for right, wrong in words if _tells(first, second, right, wrong)}
    found |= {1 for right, wrong in words if _tells(second, first, right, wrong)}
    if len(found) != 1:
        raise ValueError(
            f"{pair[0].parent}: the names {names} do not say which is right; expected are words such as "
            f"{' and '.join(words[0])}: give right and wrong"
        )
    return found.pop()


def _words(path: Path) -> set[str]:
    return {*re.split(r"[^a-z]+", path.stem.lower())}


def _tells(one: set[str], other: set[str], right: str, wrong: str) -> bool:
    return right in one and wrong in other and wrong not in one and right not in other


WAV_PAIRS = ItemReader(
    expects="<number>_correct.wav and <number>_incorrect.wav, or other words that settings right and wrong name",
    read=_read,
)
