"""The run folder: what was asked, with what, and where the results lie. Written by rank 0.

    config.yaml command.txt environment.txt plan.json checkpoints/step_<n>/ tensorboard/ metrics.jsonl
    validation.jsonl logs/rank_<n>.log quarantine/rank_<n>.jsonl saved.json done.json

``config.yaml`` repeats the run. ``done.json`` appears when the token budget is spent, and not before. A plan that was
extended stays as ``plan-<fingerprint>.json``, and its successor lists the plans that were followed before it.
"""

from __future__ import annotations

import logging
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from megatron_speech import __version__
from megatron_speech.artifact import read_json, write_atomic
from megatron_speech.checkpoint.folder import latest_checkpoint
from megatron_speech.config.parse import dump_yaml, to_dict
from megatron_speech.config.training import CheckpointConfig, PretrainConfig
from megatron_speech.data.plan import Plan
from megatron_speech.plain_json import to_json

logger = logging.getLogger(__name__)

DONE, PLAN = "done.json", "plan.json"
SAVED = "saved.json"
"""Names the newest step that was saved: a run whose checkpoints are gone does not start over in silence."""


def checkpoint_to_resume(folder: Path, config: CheckpointConfig) -> Path | None:
    """The checkpoint a run in `folder` goes on from, or None to start; decides by `config.resume`.

    Raises FileExistsError where starting would shadow a checkpoint, FileNotFoundError where one is required.
    """
    checkpoints = folder / "checkpoints"
    newest = latest_checkpoint(checkpoints)
    saved = folder / SAVED
    if newest is None and saved.is_file():
        raise FileNotFoundError(
            f"{checkpoints} holds no complete checkpoint, but step {read_json(saved)['step']} was saved; bring it "
            f"back, or remove {folder} to start from step 0"
        )
    if config.resume == "never" and newest is not None:
        raise FileExistsError(
            f"{newest} exists and checkpoint.resume=never; set checkpoint.resume=required to go on, "
            "or choose another folder"
        )
    if config.resume == "required" and newest is None:
        raise FileNotFoundError(
            f"{checkpoints} holds no complete checkpoint and checkpoint.resume=required; "
            "check the folder, or set checkpoint.resume=never to start from step 0"
        )
    return newest


def read_done(folder: Path) -> dict[str, Any] | None:
    """The summary of a finished run, or None."""
    path = folder / DONE
    return read_json(path) if path.is_file() else None


def note_saved(folder: Path, step: int) -> None:
    """Remember that a checkpoint of `step` exists."""
    write_atomic(folder / SAVED, to_json({"step": step}) + "\n")


def require_same_settings(config: PretrainConfig) -> None:
    """Refuse a finished run that was made with another model, optimizer or budget; names the key and both values."""
    stored = yaml.safe_load((config.folder / "config.yaml").read_text())
    ours = to_dict(config)
    for section in ("model", "precision", "optimizer", "train"):
        for key, value in ours[section].items():
            if key != "stop_at_step" and stored[section].get(key) != value:
                raise ValueError(
                    f"{config.folder} is done with {section}.{key}={stored[section].get(key)}, this run says {value}; "
                    "restore it or choose another folder"
                )


def prepare(config: PretrainConfig, *, plan: Plan, consumed: int) -> None:
    """Write what was asked: configuration, command, environment, plan; a stale done.json goes.

    `consumed` samples were read by the plans before this one, if there were others.
    """
    folder = config.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DONE).unlink(missing_ok=True)
    dump_yaml(config, folder / "config.yaml")
    write_atomic(folder / "command.txt", shlex.join(sys.orig_argv) + "\n")
    write_atomic(folder / "environment.txt", _environment())
    _write_plan(folder, plan, consumed)


def read_plan(folder: Path, fingerprint: str) -> Plan:
    """The plan of that fingerprint which the run in `folder` follows or has followed."""
    for path in (folder / PLAN, folder / _superseded(fingerprint)):
        if path.is_file() and (values := read_json(path))["fingerprint"] == fingerprint:
            if "stages" not in values:
                raise ValueError(f"{path} is of an older version, whose order is another; start in another folder")
            return Plan.from_json(values)
    raise FileNotFoundError(
        f"{folder} holds no plan {fingerprint[:12]}, by which the checkpoint was made, and this run's plan is another; "
        "restore plan.json, the data settings or the shards"
    )


def _write_plan(folder: Path, plan: Plan, consumed: int) -> None:
    before: dict[str, int] = {}
    path = folder / PLAN
    if path.is_file() and consumed:
        values = read_json(path)
        before = values["before"]
        if values["fingerprint"] != plan.fingerprint:
            write_atomic(folder / _superseded(values["fingerprint"]), path.read_text())
            before = {**before, values["fingerprint"]: consumed}
    facts = {"fingerprint": plan.fingerprint, "before": before}
    write_atomic(path, to_json({**plan.to_json(), **facts}, indent=1) + "\n")


def _superseded(fingerprint: str) -> str:
    return f"plan-{fingerprint[:12]}.json"


def write_done(folder: Path, summary: dict[str, Any]) -> None:
    """Announce that the run is finished."""
    write_atomic(folder / DONE, to_json(summary, indent=1) + "\n")


def start_logging(folder: Path, *, rank: int) -> None:
    """Send this rank's log to logs/rank_<n>.log, and rank 0's to stderr as well."""
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(logs / f"rank_{rank}.log")]
    if rank == 0:
        handlers.append(logging.StreamHandler())
    package = logging.getLogger("megatron_speech")
    for handler in handlers:
        handler.setFormatter(logging.Formatter(f"%(asctime)s rank {rank} %(levelname)s %(message)s"))
    for old in list(package.handlers):
        package.removeHandler(old)
        old.close()
    for handler in handlers:
        package.addHandler(handler)
    package.setLevel(logging.INFO)


def _environment() -> str:
    """Versions and, in a checkout, the git state: one fact a line."""
    lines = [f"megatron_speech {__version__}", f"python {platform.python_version()}", f"host {platform.platform()}"]
    for package in ("torch", "megatron-core", "transformer-engine", "numpy"):
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} absent")
    return "\n".join([*lines, *_git_state()]) + "\n"


def _git_state() -> list[str]:
    def git(*arguments: str) -> str | None:
        try:
            command = ["git", "-C", str(Path(__file__).parent), *arguments]
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return None

    commit = git("rev-parse", "HEAD")
    return [f"git {commit}{' with changes' if git('status', '--porcelain') else ''}"] if commit else []
