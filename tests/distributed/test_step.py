"""Losses as sums, and checkpoints that refuse to be misused; each in a world of one rank."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megatron_speech.config.run.parallel import PrecisionConfig
from megatron_speech.config.run.training import PretrainConfig
from tests.ranks import run_ranks
from tests.toy_runs import MODEL, VOCABULARY, make_config, make_sources

FLOAT32 = {"precision": PrecisionConfig(dtype="float32")}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_sources(tmp_path_factory.mktemp("sources"))


def test_sums_by_source_and_modality_match_a_hand_calculation(tmp_path: Path, sources: Any) -> None:
    run_ranks(_check_sums, 1, make_config(tmp_path / "run", sources, **FLOAT32))


def test_a_finished_run_is_not_repeated_and_a_changed_mixture_is_refused(tmp_path: Path, sources: Any) -> None:
    run_ranks(_check_finished, 1, make_config(tmp_path / "run", sources, steps=2, **FLOAT32))


def test_a_checkpoint_that_is_no_start_is_refused(tmp_path: Path, sources: Any) -> None:
    run_ranks(_check_refusals, 1, make_config(tmp_path / "run", sources, steps=1, **FLOAT32))


def _engine(init_method: str, config: PretrainConfig) -> Any:
    from megatron_speech.parallel import groups
    from megatron_speech.parallel.layout import ParallelLayout
    from megatron_speech.training.engine import build_engine

    if init_method:
        groups.initialize(ParallelLayout.of(config.parallel, world_size=1), seed=1, rank=0, init_method=init_method)
    return build_engine(config, vocabulary=VOCABULARY, load_base=True)


def _microbatches(config: PretrainConfig) -> list[Any]:
    """Two micro-batches of two rows: one row of each source."""
    from megatron_speech.data.plan.mixture import compile_plan
    from megatron_speech.data.reading.batch import collate
    from megatron_speech.data.reading.reader import Reader

    reader = Reader(compile_plan(config.data, vocabulary=VOCABULARY, num_samples=8))
    rows = sorted(reader.rows(range(8)), key=lambda row: row.source)
    return [collate([rows[0], rows[4]]), collate([rows[1], rows[5]])]


def _check_sums(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    import torch

    from megatron_speech.model.forward import forward
    from megatron_speech.training.metrics import mean_losses, total_loss
    from megatron_speech.training.step import train_step

    engine = _engine(init_method, config)
    hosts = _microbatches(config)
    counts, losses = np.zeros((2, 2)), np.zeros((2, 2))
    for host in hosts:
        inputs, labels = host.tokens[:, :-1], host.tokens[:, 1:]
        with torch.no_grad():
            logits = forward(
                engine.chunks[0],
                tokens=torch.from_numpy(inputs).long(),
                labels=None,
                cu_seqlens=torch.from_numpy(host.cu_seqlens),
                max_seqlen=host.max_seqlen,
            ).reshape(*labels.shape, -1)[..., : VOCABULARY.size]
        for row, position in np.ndindex(labels.shape):
            label = labels[row, position]
            in_context = any(r == row and a <= position + 1 < b for r, a, b in host.context)
            if inputs[row, position] != VOCABULARY.end_of_document and not in_context:
                cell = host.source[row], int(int(label) in VOCABULARY.speech_ids)
                counts[cell] += 1
                losses[cell] -= float(torch.log_softmax(logits[row, position].double(), -1)[label])
    sums, _ = train_step(engine, hosts, lr=1e-3, weight_decay=0.1)
    assert np.array_equal(sums[:, :, 1].numpy(), counts) and counts[1, 1] > 0 and counts[0, 1] == 0
    assert sums[:, :, 0].numpy() == pytest.approx(losses, rel=1e-5)
    means = mean_losses(sums, ["text", "paired"])
    assert means["text"] == {"text": pytest.approx(losses[0, 0] / counts[0, 0], rel=1e-5)}
    weights = np.array([[1.0, 0.5], [0.25, 2.0]])
    expected = (weights * losses).sum() / (weights * counts).sum()
    assert total_loss(sums, weights.tolist()) == pytest.approx(expected, rel=1e-5)
    assert total_loss(torch.zeros(2, 2, 2), weights.tolist()) == 0
    by_task = mean_losses(torch.cat([sums, sums[:1]]), ["text", "synthesis", "text"])
    assert by_task["synthesis"] == means["paired"] and by_task["text"] == pytest.approx(means["text"], rel=1e-12)


def _check_finished(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    from megatron_speech.training.run import pretrain

    pretrain(config, world=(0, 1))
    done = json.loads((config.folder / "done.json").read_text())
    assert done["steps"] == 2 and done["validation"]["text"]["text"] > 0
    for name in ("config.yaml", "command.txt", "environment.txt", "plan.json", "logs/rank_0.log"):
        assert (config.folder / name).stat().st_size > 0
    stamp = (config.folder / "metrics.jsonl").stat().st_mtime_ns
    again = dataclasses.replace(config, checkpoint=dataclasses.replace(config.checkpoint, resume="if_present"))
    pretrain(again, world=(0, 1))
    assert (config.folder / "metrics.jsonl").stat().st_mtime_ns == stamp
    with pytest.raises(FileExistsError, match=r"step_2 exists and checkpoint\.resume=never"):
        pretrain(config, world=(0, 1))
    changed = dataclasses.replace(again, data=dataclasses.replace(again.data, seed=1))
    with pytest.raises(ValueError, match=r"data: the run has read 8 samples of another plan \(seed: 1, was 0\)"):
        pretrain(changed, world=(0, 1))


def _check_refusals(rank: int, world_size: int, init_method: str, config: PretrainConfig) -> None:
    from megatron_speech.checkpoint.distributed.save_load import load_checkpoint, save_model

    engine = _engine(init_method, config)
    base = config.folder / "base"
    save_model(base, engine.chunks, model=MODEL, vocabulary=VOCABULARY)
    parts = {"model": MODEL, "vocabulary": VOCABULARY, "parallel": config.parallel}
    with pytest.raises(ValueError, match="holds weights alone and cannot be resumed"):
        load_checkpoint(base, chunks=engine.chunks, optimizer=engine.optimizer, **parts)
    with pytest.raises(FileExistsError, match="never overwritten"):
        save_model(base, engine.chunks, model=MODEL, vocabulary=VOCABULARY)
    with pytest.raises(ValueError, match=r"model.ffn_hidden_size=48 there, 64 in this run"):
        _engine("", dataclasses.replace(config, model=dataclasses.replace(MODEL, base=str(base), ffn_hidden_size=64)))
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist"):
        _engine("", dataclasses.replace(config, model=dataclasses.replace(MODEL, base="nowhere")))

    loaded = _engine("", dataclasses.replace(config, model=dataclasses.replace(MODEL, base=str(base))))
    for ours, theirs in zip(loaded.chunks[0].parameters(), engine.chunks[0].parameters(), strict=True):
        assert ours.equal(theirs)
    _spoil_index(base)
    with pytest.raises(ValueError, match=r"asks for (posix|nt|os).system, which no checkpoint index needs"):
        _engine("", dataclasses.replace(config, model=dataclasses.replace(MODEL, base=str(base))))
    assert not (base / "executed").exists()


def _spoil_index(folder: Path) -> None:
    """Replace the index by a pickle that would run a command, with a matching checksum."""
    import os
    import pickle

    from megatron_speech.checkpoint import folder as folders

    class Malicious:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, ("touch " + str(folder / "executed"),)

    (folder / ".metadata").write_bytes(pickle.dumps(Malicious()))
    names = [path for path in folder.iterdir() if path.name != folders.CHECKSUMS]
    folders.write_checksums(folder, folders.checksums(names))
