"""The interface of item readers: an `ItemReader` reads the items of one layout of evaluation data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from megatron_speech.config.stages.evaluation_data import DataSetConfig
from megatron_speech.evaluation.data_sets.items import Item


@dataclass(frozen=True, kw_only=True)
class ItemReader:
    """Reads one layout."""

    expects: str
    """Files of the layout, and columns of its tables, for error messages."""
    read: Callable[[DataSetConfig], Iterator[Item]]
    """Items in a fixed order, whatever the order of directories.

    Yields nothing if the files of the layout are not there. Raises ValueError for a table with other columns, and where
    it is not certain which of several recordings is right.
    """
