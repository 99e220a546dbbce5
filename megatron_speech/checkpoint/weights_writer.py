"""A checkpoint of weights alone, written tensor by tensor, without a model, a process group or megatron-core.

The counterpart of `checkpoint/weights.py`: whole tensors in one file, with the index and the notes that megatron-core's
loader asks for. Every layout reads it, each rank its part. Price: ranks that need a slice read the whole tensor.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.checkpoint import FileSystemWriter
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.storage import WriteResult

from megatron_speech.artifacts.files import naming_file
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.platform.private_names import storage_info

FILE = "__0_0.distcp"
# megatron-core's notes about the format: checked when it loads, and its place for what is no tensor.
_FORMAT = {
    "sharded_backend": "torch_dist",
    "sharded_backend_version": 1,
    "common_backend": "torch",
    "common_backend_version": 1,
}


def write_weights(folder: Path, tensors: Iterable[tuple[str, int | None, Tensor]], *, num_layers: int) -> None:
    """Write (key, layer or None, tensor) one by one as they come, each whole: what every layout can read.

    The caller adds the facts and checksums of `checkpoint/folder.py`.
    """
    stored: dict[str, TensorStorageMetadata] = {}
    written: list[WriteResult] = []
    with naming_file(folder / FILE), (folder / FILE).open("wb") as file:
        for key, layer, tensor in tensors:
            chunk = tensor if layer is None else tensor[None]
            if chunk.untyped_storage().nbytes() != chunk.nbytes:
                chunk = chunk.clone()  # torch would save all of the memory behind a slice
            shape, start = list(chunk.shape), [0] * chunk.dim()
            if layer is not None:
                shape[0], start[0] = num_layers, layer
            new = TensorStorageMetadata(TensorProperties(dtype=chunk.dtype), torch.Size(shape), [])
            stored.setdefault(key, new).chunks.append(ChunkStorageMetadata(torch.Size(start), chunk.shape))
            begin = file.tell()
            torch.save(chunk, file)
            place = storage_info(FILE, offset=begin, length=file.tell() - begin)
            written.append(WriteResult(MetadataIndex(key, start), place.length, place))
            del tensor, chunk  # before the next one is made
        file.flush()
        os.fsync(file.fileno())
    with naming_file(folder / ".metadata"):
        FileSystemWriter(folder).finish(Metadata(dict(stored)), [written])
    with naming_file(folder / "common.pt"), (folder / "common.pt").open("wb") as file:
        torch.save({}, file)
    (folder / "metadata.json").write_text(to_json(_FORMAT))
