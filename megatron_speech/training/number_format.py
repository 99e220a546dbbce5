"""The number format of a run: what `precision.dtype: auto` means is decided once, when the run begins.

A checkpoint holds weights of one format, so a run that goes on elsewhere keeps the format it began in, also where the
new machine computes another one faster; its log says so.
"""

from __future__ import annotations

from dataclasses import replace

from megatron_speech.checkpoint.folder import latest_checkpoint, read_state
from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.model.precision import resolve_precision
from megatron_speech.platform.number_format import Dtype


def resolve_number_format(config: PretrainConfig) -> tuple[PretrainConfig, str]:
    """`config` without `auto`, and one line that says which format the run computes in, and why."""
    precision = config.precision
    stored = _format_of_the_run(config) if precision.dtype == "auto" else None
    precision, reason = resolve_precision(precision, begun_in=stored)
    return replace(config, precision=precision), reason


def _format_of_the_run(config: PretrainConfig) -> Dtype | None:
    """The format that the newest checkpoint in `config.folder` was trained in; None without one."""
    checkpoint = latest_checkpoint(config.folder / "checkpoints")
    if checkpoint is None:
        return None
    stored: Dtype | None = read_state(checkpoint).get("dtype")
    return stored
