"""What libraries print that no user of a command can act on: warnings to us, who call them, and bars of their own.

Only commands are quiet. Whoever imports the library, or runs its tests, sees every warning. A filter given to Python
itself (``-W default``, PYTHONWARNINGS) comes first, and shows them again.
"""

from __future__ import annotations

import os
import warnings

KNOWN: tuple[tuple[type[Warning], str], ...] = (
    # Renamed collectives, which megatron-core calls by their old names.
    (FutureWarning, r"torch\.distributed\.c10d_logger$"),
    # ShardedTensor and load_state_dict, which megatron-core's checkpoints use.
    (FutureWarning, r"torch\.distributed\.checkpoint\..*"),
    (FutureWarning, r"megatron\.core\.dist_checkpointing\..*"),
)
"""Category of each, and the module that it is told of, as a regular expression."""

NO_BARS = "HF_HUB_DISABLE_PROGRESS_BARS"
"""Environment variable that Hugging Face's libraries read when they are imported."""


def silence_known_warnings() -> None:
    """Hide the `KNOWN` warnings in this process, unless a filter that was set earlier shows them; and libraries' bars.

    Commands show their own progress.
    """
    os.environ.setdefault(NO_BARS, "1")
    for category, module in KNOWN:
        warnings.filterwarnings("ignore", category=category, module=module, append=True)
