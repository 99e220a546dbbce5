"""Set-up of all tests: which are slow, fixed seeds, one thread, a warm fork server for ranks, skips with a reason."""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Ranks import test modules by name, and tests import `tests.ranks`, so the root must be on sys.path.
ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

TESTS = Path(__file__).resolve().parent
SLOW = (
    "bad_inputs/*",
    "distributed/*",
    "end_to_end/*",
    "test_benchmarks.py",
    "test_estimate.py",
    "test_example_runner.py",
    "test_installed.py",
    "test_progress_of_commands.py",
    "test_same_outputs.py",
    "test_suite.py",
    "unit/artifacts/test_tasks.py",
    "unit/checkpoint/test_index.py",
    "unit/planning/test_parameters.py",
    "unit/reports/miniature/test_report.py",
    "unit/speech_tokenizer/test_streaming.py",
    "unit/test_rooms.py",
    "unit/test_side_effects.py",
    "unit/training/test_damaged_run_folder.py",
    "unit/storage/test_storage.py",
    "*/test_coverage.py",
    "*/test_hf_reimport.py",
    "*/test_kills.py",
    "*/test_linear_time.py",
    "*/test_long_text.py",
    "*/test_shared_counts.py",
    "*/test_stages.py",
    "*/training/test_run.py",
    "*_with_training.py",
)
"""Files of slow tests, where * is any path: they start processes, train models, simulate, or repeat what they time."""


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "not slow" and all(".py" in argument for argument in config.args):
        config.option.markexpr = ""  # files that are named run whole
    settings.register_profile("shared_machine", deadline=None)  # other work shares this machine
    settings.load_profile("shared_machine")
    multiprocessing.set_forkserver_preload(["tests.preload"])


def is_slow(path: Path) -> bool:
    """Whether a test file is one of `SLOW`."""
    return any(fnmatch(path.relative_to(TESTS).as_posix(), slow) for slow in SLOW)


@pytest.hookimpl(tryfirst=True)  # before pytest applies -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_slow(item.path):
            item.add_marker(pytest.mark.slow)
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device; this machine has none"))


@pytest.fixture(autouse=True)
def _seeds() -> None:
    """Seed all generators, so that tests are independent; torch only if it is imported."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def real_assets() -> Path:
    """The folder of fetched and unpacked assets; skips the test, with the reason, if there is none."""
    folder = Path(os.environ.get("MEGATRON_SPEECH_ASSETS", Path(ROOT) / ".cache" / "assets"))
    if not (folder / "fetched").is_dir():
        pytest.skip(f"{folder} holds no fetched assets; run megatron-speech fetch_assets and unpack_assets")
    return folder


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist of this checkout, and the wheel that is built from it."""
    from tests.installed import build_both

    return build_both(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def program(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`megatron-speech` of an environment without a checkout."""
    from tests.installed import install

    return install(built[1], tmp_path_factory.mktemp("installed") / "venv")
