"""Every private name of another library that is used: it exists and does what it is used for."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from datatrove.executor import LocalPipelineExecutor
from tensorboard.compat.proto.summary_pb2 import Summary
from transformers import PretrainedConfig

import megatron_speech
from megatron_speech.platform import private_names, standin

PACKAGE = Path(megatron_speech.__file__).parent
PRIVATE_PARTS = ("compat.proto",)
"""Parts of a module's name that are private without an underscore."""
PUBLIC = {"_asdict", "_exit", "_replace"}
"""Names that Python documents in spite of their underscore."""


def test_an_executor_runs_one_task(tmp_path: Path) -> None:
    executor = LocalPipelineExecutor([], tasks=3, logging_dir=str(tmp_path))
    private_names.run_for_rank(executor)(1)
    assert [path.name for path in (tmp_path / "completions").iterdir()] == ["00001"]


def test_fake_groups_let_a_process_be_one_of_many() -> None:
    code = """
import torch, torch.distributed as dist
from megatron_speech.platform.private_names import fake_store
dist.init_process_group("fake", rank=5, world_size=8, store=fake_store())
dist.all_reduce(torch.ones(1))
assert (dist.get_rank(), dist.get_world_size()) == (5, 8)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)


def test_tensors_without_storage_may_be_larger_than_memory() -> None:
    with private_names.tensors_without_storage():
        assert torch.empty(1 << 40, 1 << 10).shape == (1 << 40, 1 << 10)


@pytest.mark.parametrize("decoupled", [True, False])
def test_the_fused_kernel_updates_in_place(decoupled: bool) -> None:
    weight, gradient, step = torch.ones(4), torch.ones(4), torch.tensor(1.0)
    settings = {"lr": 0.1, "beta1": 0.9, "beta2": 0.95, "weight_decay": 0.0, "eps": 1e-8}
    flags = {"amsgrad": False, "maximize": False, "grad_scale": None, "found_inf": None}
    kernel = private_names.fused_adam_kernel(decoupled=decoupled)
    kernel([weight], [gradient], [torch.zeros(4)], [torch.zeros(4)], [], [step], **settings, **flags)
    torch.testing.assert_close(weight, torch.full((4,), 0.9))  # the first step of Adam is the learning rate


def test_a_place_in_a_checkpoint() -> None:
    place = private_names.storage_info("__0_0.distcp", offset=8, length=16)
    assert (place.relative_path, place.offset, place.length) == ("__0_0.distcp", 8, 16)


def test_a_sharded_state_by_its_keys() -> None:
    standin.install()
    from megatron.core.dist_checkpointing.mapping import ShardedTensor

    ours = ShardedTensor.from_rank_offsets("weight.of.the.file", torch.ones(2), replica_id=0)
    copy = ShardedTensor.from_rank_offsets("of.another.rank", torch.ones(2), replica_id=1)
    flat = private_names.keyed_by_shard({"a": {"b": ours, "c": copy}}, keep_only_main_replica=True)
    assert list(flat) == ["weight.of.the.file"]


def test_the_attention_is_chosen() -> None:
    config = PretrainedConfig()
    private_names.use_attention(config, "sdpa")
    assert config._attn_implementation == "sdpa"


def test_tensorboard_messages() -> None:
    assert private_names.session_start().session_log.status == 1
    made = private_names.scalar_summary({"loss": 0.5, "lr": 0.25})
    assert [(value.tag, value.simple_value) for value in made.value] == [("loss", 0.5), ("lr", 0.25)]
    assert isinstance(made, Summary)


def test_overridden_methods_exist() -> None:
    standin.install()
    for module, classes, method in private_names.OVERRIDDEN:
        for name in classes:
            assert callable(getattr(getattr(importlib.import_module(module), name), method))


def test_no_other_file_imports_a_private_name() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "private_names.py"
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
        if not name.startswith("megatron_speech") and _is_private(name)
    ]
    assert found == []


def test_no_other_file_touches_a_private_member() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.attr}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "private_names.py"
        for node in _foreign_members(path)
    ]
    assert found == []


def _foreign_members(path: Path) -> list[ast.Attribute]:
    """Accesses to private members that this file neither defines nor sets."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    members = [node for node in nodes if isinstance(node, ast.Attribute)]
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    own |= {node.attr for node in members if _is_own(node)}
    return [node for node in members if re.match("_[^_]", node.attr) and node.attr not in own | PUBLIC]


def _is_own(node: ast.Attribute) -> bool:
    """Whether an object writes a member of itself."""
    return isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def _is_private(name: str) -> bool:
    parts = [part for part in name.split(".") if not part.startswith("__")]
    return any(part.startswith("_") for part in parts) or any(part in name for part in PRIVATE_PARTS)
