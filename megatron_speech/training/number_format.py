"""Decides the number format of a run with `precision.dtype: auto`, once, when the run begins.

A checkpoint holds weights of one format. So a run that resumes on another machine keeps its format, even if another one
would be faster there; its log says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from megatron_speech.checkpoint.folder import latest_checkpoint, read_state
from megatron_speech.config.run.training import PretrainConfig
from megatron_speech.model.precision import resolve_precision
from megatron_speech.platform.number_format import Dtype


def resolve_number_format(config: PretrainConfig) -> tuple[PretrainConfig, str]:
    """(`config` without `auto`, one line that names the format of the run and the reason)."""
    precision = config.precision
    stored = _format_of_the_run(config) if precision.dtype == "auto" else None
    precision, reason = resolve_precision(precision, begun_in=stored)
    return replace(config, precision=precision), reason


def _format_of_the_run(config: PretrainConfig) -> Dtype | None:
    """Number format of the newest checkpoint in `config.folder`; None without a checkpoint."""
    checkpoint = latest_checkpoint(config.folder / "checkpoints")
    if checkpoint is None:
        return None
    return cast(Dtype | None, read_state(checkpoint).dtype)
