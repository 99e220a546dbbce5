"""Tools that read folders of this machine say so when they are given a URL, and write it as it was given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from megatron_speech.config.inspection.shards import (
    ExportIndexedDatasetConfig,
    IndexShardsConfig,
    InspectShardsConfig,
    VerifyShardsConfig,
)
from megatron_speech.config.stages.pack_shards import PackShardsConfig

TOOLS: dict[str, Callable[[Path], Any]] = {
    "folder": lambda path: InspectShardsConfig(folder=path),
    "folders": lambda path: VerifyShardsConfig(folders=[Path("here"), path]),
    "input": lambda path: PackShardsConfig(input=[Path("here"), path], output=Path("out")),
    "input (export)": lambda path: ExportIndexedDatasetConfig(input=path, output=Path("out")),
    "folder (index)": lambda path: IndexShardsConfig(folder=path),
}


@pytest.mark.parametrize("key", TOOLS)
@pytest.mark.parametrize("url", ["http://host:80/x", "s3://bucket/a/b"])
def test_a_url_is_refused_with_both_its_slashes(key: str, url: str) -> None:
    with pytest.raises(ValueError, match=rf"^{key.split()[0]}={url} is a URL"):
        TOOLS[key](Path(url))
    TOOLS[key](Path("a/c:d/e"))


@pytest.mark.parametrize(("key", "value"), [("samples", -1), ("width", 3)])
def test_numbers_of_what_to_show(key: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{key}={value} must be at least"):
        InspectShardsConfig(folder=Path("x"), **{key: value})
