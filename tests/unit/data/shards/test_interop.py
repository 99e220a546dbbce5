"""Our shards in the hands of others: WebDataset reads the tars, megatron-core the same bytes as IndexedDatasets."""

import tarfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from megatron_speech.artifacts.manifest import make_artifact
from megatron_speech.config.inspection.shards import ExportIndexedDatasetConfig
from megatron_speech.data.shards.documents import read_documents
from megatron_speech.data.shards.export_indexed import export_indexed_dataset
from megatron_speech.data.shards.rows import RowFolder
from tests.damages import tars
from tests.toys import documents_of, packed_folder

LENGTHS = [30, 25, 30, 80, 2, 40, 41, 7, 60]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packed rows in several shards of several blocks; the documents lie in ``rows.documents``."""
    folder = tmp_path_factory.mktemp("interop") / "rows"
    with mock.patch("megatron_speech.data.packing.layout.BLOCK_TOKENS", 40):
        packed_folder(folder, LENGTHS, seq_length=10, shard_tokens=90)
    for each in (folder, folder.with_name("rows.documents")):
        assert len(tars(each)) > 1
        (each / "manifest.json").write_text('{"kind": "toy", "facts": {}}')  # as a stage leaves it
    return folder


def test_shards_are_plain_ustar_that_webdataset_opens(packed: Path):
    webdataset = pytest.importorskip("webdataset")  # brings torch: seconds
    documents = packed.with_name("rows.documents")
    tokens = []
    for tar in tars(documents):
        with tarfile.open(tar) as opened:
            for member in opened:
                assert not member.pax_headers
                assert (member.mtime, member.uid, member.gid, member.uname, member.mode) == (0, 0, 0, "", 0o444)
        for sample in webdataset.WebDataset(str(tar), shardshuffle=False):
            tokens.append(np.frombuffer(sample["tokens.i32"], "<i4"))
            assert np.frombuffer(sample["lens.i32"], "<i4").sum() == len(tokens[-1])
    written = np.concatenate([document.tokens for document in documents_of(LENGTHS)])
    assert np.concatenate(tokens).tolist() == written.tolist()


@pytest.mark.parametrize("kind", ["documents", "rows"])
@pytest.mark.parametrize("mmap", [True, False], ids=["mmap", "file"])
def test_megatron_core_opens_the_export(packed: Path, tmp_path: Path, kind: str, mmap: bool):
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    if kind == "rows":
        source, reader = packed, RowFolder(packed)
        sequences = [reader.row(number).tokens for number in range(len(reader))]
    else:
        source = packed.with_name("rows.documents")
        sequences = [document.tokens for document in read_documents(source)]
    output = tmp_path / "deep" / "export"
    output.parent.mkdir()
    export_indexed_dataset(ExportIndexedDatasetConfig(input=source, output=output))
    found = []
    for tar in tars(source):
        link = output / f"{tar.stem}.bin"
        assert link.is_symlink() and link.resolve() == tar.resolve()
        dataset = IndexedDataset(str(output / tar.stem), multimodal=False, mmap=mmap)
        assert dataset.document_indices.tolist() == list(range(len(dataset) + 1))
        found += [dataset[number].copy() for number in range(len(dataset))]  # its views die with the dataset
        assert dataset.get(0, offset=1, length=1).tolist() == found[-len(dataset)][1:2].tolist()
    assert [each.tolist() for each in found] == [each.tolist() for each in sequences]
    assert all(each.dtype == np.int32 for each in found)


def test_an_unfinished_export_is_taken_up_again(packed: Path, tmp_path: Path):
    config = ExportIndexedDatasetConfig(input=packed, output=tmp_path / "export")
    with pytest.raises(RuntimeError):
        with make_artifact(config.output, kind="indexed_dataset", config=config, inputs=[packed]) as draft:
            (draft.folder / f"{tars(packed)[0].stem}.bin").symlink_to("nowhere")
            raise RuntimeError("killed")
    export_indexed_dataset(config)
    assert all(path.resolve().is_file() for path in config.output.glob("*.bin"))
