"""Files of the run folder: settings, environment, plan and results. Rank 0 writes them.

    config.yaml command.txt environment.txt plan.json checkpoints/step_<n>/ tensorboard/ metrics.jsonl
    validation.jsonl origin.json logs/rank_<n>.log quarantine/rank_<n>.jsonl saved.json done.json

``config.yaml`` holds all settings, to repeat the run. ``done.json`` is written when the token budget is spent. When a
plan is extended, the old one stays as ``plan-<fingerprint>.json``, and the new one lists its predecessors.
"""

from __future__ import annotations

import logging
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from megatron_speech import __version__
from megatron_speech.artifacts.facts.checkpoint import SCRATCH, Origin, SourceTerms
from megatron_speech.artifacts.facts.training import FollowedPlan, RunSummary
from megatron_speech.artifacts.files import read_json, rename_synced, write_atomic
from megatron_speech.artifacts.manifest import MANIFEST, read_manifest
from megatron_speech.artifacts.plain_json import to_json
from megatron_speech.checkpoint.folder import latest_checkpoint, strays
from megatron_speech.checkpoint.origin import ORIGIN, origin_of, read_origin
from megatron_speech.config.parsing.parse import dump_yaml
from megatron_speech.config.parsing.plain import to_dict
from megatron_speech.config.run.training import CheckpointConfig, PretrainConfig
from megatron_speech.data.plan.plan import Plan
from megatron_speech.storage.place import local_folder

logger = logging.getLogger(__name__)

DONE, PLAN, CONFIG, CHECKPOINTS = "done.json", "plan.json", "config.yaml", "checkpoints"
_DECIDING = ("model", "precision", "optimizer", "train")
SAVED = "saved.json"
"""Holds the newest saved step, so that a run with lost checkpoints does not silently start over."""


def checkpoint_to_resume(folder: Path, config: CheckpointConfig) -> Path | None:
    """The checkpoint that a run in `folder` resumes, or None to start from step 0; depends on `config.resume`.

    Raises FileExistsError if a start would hide a checkpoint, FileNotFoundError if a checkpoint is lost or required.
    """
    checkpoints = folder / CHECKPOINTS
    for path in strays(checkpoints):
        logger.warning("%s is not a checkpoint folder: ignored", path)
    newest = latest_checkpoint(checkpoints)
    saved = folder / SAVED
    if newest is None and saved.is_file():
        mend = f"bring it back, or remove {folder} to start from step 0"
        step = _facts(saved, {"step": int}, mend=mend)["step"]
        raise FileNotFoundError(f"{checkpoints} holds no complete checkpoint, but step {step} was saved; {mend}")
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


def read_done(folder: Path) -> FollowedPlan | None:
    """The plan and counts in the summary of a finished run, or None."""
    path = folder / DONE
    if not path.is_file():
        return None
    needed = {"steps": int, "consumed_samples": int, "plan": str}
    mend = "remove it, and the run goes on from its newest checkpoint and writes it again"
    return FollowedPlan.from_json(_facts(path, needed, mend=mend))


def note_saved(folder: Path, step: int) -> None:
    """Record that a checkpoint of `step` was saved."""
    write_atomic(folder / SAVED, to_json({"step": step}) + "\n")


def require_same_settings(config: PretrainConfig) -> None:
    """Raise ValueError if the finished run had other settings of `_DECIDING`; it names the key and both values."""
    stored, ours = _stored_settings(config.folder), to_dict(config)
    for section in _DECIDING:
        for key, value in ours[section].items():
            if key != "stop_at_step" and stored[section].get(key) != value:
                raise ValueError(
                    f"{config.folder} is done with {section}.{key}={stored[section].get(key)}, this run says {value}; "
                    "set it back or choose another folder"
                )


def _stored_settings(folder: Path) -> dict[str, Any]:
    """Settings in config.yaml of a finished run; FileNotFoundError or ValueError if lost or damaged."""
    path = folder / CONFIG
    mend = "restore it from a copy, or choose another folder: the settings of this finished run are unknown"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is done, but has lost {CONFIG}; {mend}")
    try:
        stored = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: it is no YAML; {mend}") from error
    whole = isinstance(stored, dict) and all(isinstance(stored.get(section), dict) for section in _DECIDING)
    if not whole:
        raise ValueError(f"{path} is damaged: it lacks {' or '.join(_DECIDING)}; {mend}")
    return dict(stored)


def _facts(path: Path, needed: Mapping[str, type], *, mend: str) -> dict[str, Any]:
    """Read a JSON object with values of the `needed` types; ValueError naming the file and the remedy `mend`."""
    try:
        values = read_json(path)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: it is no JSON; {mend}") from error
    for name, kind in needed.items():
        if not isinstance(values, dict) or not isinstance(values.get(name), kind):
            raise ValueError(f"{path} is damaged: it does not say {name}; {mend}")
    return dict(values)


def prepare(config: PretrainConfig, *, plan: Plan, consumed: int) -> None:
    """Write configuration, command, environment, plan and origin; an old done.json is deleted.

    `consumed` is the number of samples read so far, under this plan or its predecessors.
    """
    folder = config.folder
    (folder / CHECKPOINTS).mkdir(parents=True, exist_ok=True)  # what is in the way shows now, not at the first save
    (folder / DONE).unlink(missing_ok=True)
    unfinished = folder / f"{CONFIG}.tmp"
    dump_yaml(config, unfinished)
    rename_synced(unfinished, folder / CONFIG)
    write_atomic(folder / "command.txt", shlex.join(sys.orig_argv) + "\n")
    write_atomic(folder / "environment.txt", _environment())
    _write_plan(folder, plan, consumed)
    write_atomic(folder / ORIGIN, to_json(_origin(config).to_json(), indent=1) + "\n")


def _origin(config: PretrainConfig) -> Origin:
    """Facts for model cards: the imported model behind the base, and task, licences and languages of every source."""
    path, base = config.folder / ORIGIN, config.model.base
    if path.is_file():
        origin = read_origin(path)  # written at the run's first start; its base may be deleted since
    else:
        origin = Origin(base=SCRATCH, sources={}) if base == "scratch" else origin_of(Path(base))
    sources = dict(origin.sources)
    for name, source in config.data.sources.items():
        here = local_folder(source.folder, config.data.reader)
        manifest = read_manifest(here) if (here / MANIFEST).is_file() else None
        licences, languages = (manifest.licences, manifest.languages) if manifest else ((), ())
        sources[name] = SourceTerms(task=source.task, licences=licences or (), languages=languages or ())
    return replace(origin, sources=sources)


def read_plan(folder: Path, fingerprint: str) -> Plan:
    """The plan with this `fingerprint`, which the run in `folder` follows or has followed.

    Raises FileNotFoundError if it is lost, ValueError if its file is damaged or of an older version.
    """
    mend = "restore it from a copy, or give this run the data settings and shards that it had"
    for path in (folder / PLAN, folder / _superseded(fingerprint)):
        if not path.is_file():
            continue
        values = _facts(path, {"fingerprint": str}, mend=mend)
        if values["fingerprint"] != fingerprint:
            continue
        if "stages" not in values:
            raise ValueError(f"{path} is of an older version with another order of samples; start in another folder")
        try:
            plan = Plan.from_json(values)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ValueError(f"{path} is damaged: it is no plan ({error}); {mend}") from error
        if plan.fingerprint != fingerprint:
            raise ValueError(f"{path} is damaged: its fingerprint is not that of its content; {mend}")
        return plan
    raise FileNotFoundError(
        f"{folder} has lost plan {fingerprint[:12]} of its checkpoint, and this run's plan differs from it; "
        "restore plan.json, the data settings or the shards"
    )


def _write_plan(folder: Path, plan: Plan, consumed: int) -> None:
    before: dict[str, int] = {}
    path = folder / PLAN
    if path.is_file() and consumed:
        needed = {"fingerprint": str, "before": dict}
        values = _facts(path, needed, mend="restore it from a copy, or remove it, and it is written again")
        before = values["before"]
        if values["fingerprint"] != plan.fingerprint:
            write_atomic(folder / _superseded(values["fingerprint"]), path.read_text())
            before = {**before, values["fingerprint"]: consumed}
    facts = {"fingerprint": plan.fingerprint, "before": before}
    write_atomic(path, to_json({**plan.to_json(), **facts}, indent=1) + "\n")


def _superseded(fingerprint: str) -> str:
    return f"plan-{fingerprint[:12]}.json"


def write_done(folder: Path, summary: RunSummary) -> None:
    """Write done.json, which marks the run as finished."""
    write_atomic(folder / DONE, to_json(summary.to_json(), indent=1) + "\n")


def require_no_artifact(folder: Path) -> None:
    """Raise FileExistsError if `folder` is the finished output of a tool."""
    if (folder / MANIFEST).is_file():
        raise FileExistsError(f"folder={folder} is the finished output of another stage; choose another folder")


def start_logging(folder: Path, *, rank: int) -> None:
    """Write this rank's log to logs/rank_<n>.log, and rank 0's also to stderr.

    The logs are part of the run folder, so the run sets up logging itself, not its caller. Raises FileExistsError if
    `folder` is the finished output of a tool.
    """
    require_no_artifact(folder)
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
    """Versions and, in a git checkout, its state: one per line."""
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
