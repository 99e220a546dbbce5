"""A command hides the warnings that only its makers can act on, and no other."""

from __future__ import annotations

import warnings

import pytest

from megatron_speech.commands.known_warnings import KNOWN, silence_known_warnings

CASES = [
    (FutureWarning, "torch.distributed.c10d_logger", False),
    (FutureWarning, "torch.distributed.checkpoint.planner_helpers", False),
    (FutureWarning, "megatron.core.dist_checkpointing.strategies.torch", False),
    (FutureWarning, "torch.distributed.c10d_logger_of_another", True),
    (FutureWarning, "torch.optim", True),
    (UserWarning, "torch.distributed.c10d_logger", True),
    (FutureWarning, "megatron_speech.training.run", True),
]


@pytest.mark.parametrize(("category", "module", "shown"), CASES)
def test_only_known_warnings_are_hidden(category: type[Warning], module: str, shown: bool) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.resetwarnings()
        silence_known_warnings()
        warnings.warn_explicit("old", category, "file.py", 1, module=module)
    assert bool(seen) == shown


def test_a_filter_given_to_python_shows_them_again() -> None:
    category, module = KNOWN[0]
    with warnings.catch_warnings(record=True) as seen:
        warnings.resetwarnings()
        warnings.simplefilter("default")
        silence_known_warnings()
        warnings.warn_explicit("old", category, "file.py", 1, module="torch.distributed.c10d_logger")
    assert module and len(seen) == 1
