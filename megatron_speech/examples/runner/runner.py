"""Runs the steps of an example one after the other: `== tokenizer (9 of 53; 3 min so far, about 17 min left)`.

The output of a step goes to logs/<step>.log and .err, its time to timings.jsonl. Tools skip finished work, so the same
command continues after a stop.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from megatron_speech.examples.runner.commands import cpu_seconds, end_with_the_step, run_quietly, run_shown
from megatron_speech.examples.runner.progress import Clock
from megatron_speech.examples.runner.run_folder import enter
from megatron_speech.examples.runner.work import Step, Work


class StepFailed(Exception):
    """A step failed; the text is the line for the user."""


class RowsFailed(Exception):
    """Some rows failed and others were finished; the text is the line for the user."""


def print_error(line: str) -> None:
    """Print an error line on stderr."""
    print(f"error: {line}", file=sys.stderr, flush=True)


def run_steps(work: Work, chosen: list[Step]) -> None:
    """Run the steps `chosen` of `work`. Raises StepFailed at once, RowsFailed at the end, ValueError for its folder."""
    end_with_the_step()
    enter(work)
    timings = work.folder / "timings.jsonl"
    clock = Clock(work.predicted)
    clock.read(timings)
    if work.probe and not clock.measured:
        clock.slowness = work.probe()
        clock.start = time.monotonic()
    _Run(work, clock).steps(chosen)


class _Run:
    def __init__(self, work: Work, clock: Clock) -> None:
        self.work = work
        self.clock = clock
        self.failed: dict[tuple[str, str], Step] = {}
        """Failed steps by row and name; a step is removed when a later attempt succeeds."""

    def steps(self, chosen: list[Step]) -> None:
        numbers = {id(step): number for number, step in enumerate(self.work.steps, 1)}
        for place, step in enumerate(chosen):
            if self._idle(step):
                continue
            clock = self.clock.sentence(each.name for each in chosen[place:])
            about = f"{numbers[id(step)]} of {len(numbers)}; {clock}"
            if step.done and (self.work.folder / step.inside / step.done).exists():
                print(f"== {step.name} ({about}): done", flush=True)
                continue
            print(f"== {step.name} ({about})" + (f", see {step.log}" if step.log else ""), flush=True)
            self._step(step)
        if self.failed:
            named = self.work.failures(list(self.failed.values()))
            raise RowsFailed(f"failed: {named}; {self.work.remedy}")

    def _idle(self, step: Step) -> bool:
        """Whether to skip a step: its row has failed, or no file matches `needs`."""
        ended = step.row and any(row == step.row and name != step.name for row, name in self.failed)
        return bool(ended) or bool(step.needs and not any((self.work.folder / step.inside).glob(step.needs)))

    def _step(self, step: Step) -> None:
        start, spent = time.monotonic(), cpu_seconds()
        status = self._command(step)
        seconds = round(time.monotonic() - start, 1)
        if step.cpu_timings:
            stage = step.name.rsplit("/", 1)[-1]
            self._append(step.cpu_timings, {"stage": stage, "cpu_seconds": round(cpu_seconds() - spent, 1)})
        if status == 0:
            self.failed.pop((step.row, step.name), None)
            self.clock.measured[step.name] = seconds
            if self.work.kept:
                self._append("timings.jsonl", {"step": step.name, "seconds": seconds})
            return
        line = f"step {step.name} failed; {self._where(step)}{self._left_out(step)}{self.work.remedy}"
        if not step.row:
            raise StepFailed(line)
        self.failed[step.row, step.name] = step
        print_error(line)

    def _command(self, step: Step) -> int:
        environment = {**os.environ, **self.work.environment}
        threads = 1 if step.ranks > 1 else os.environ.get("OMP_NUM_THREADS") or self.work.threads
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        folder = self.work.folder / step.inside
        if step.log:
            return run_quietly(step.words, folder=folder, environment=environment, log=self.work.folder / step.log)
        shown = self.work.folder / "logs" / step.name if self.work.kept else None
        return run_shown(step.words, folder=folder, environment=environment, log=shown)

    def _where(self, step: Step) -> str:
        if step.log:
            return f"its output is in {self.work.folder / step.log}; "
        return f"its output is in {self.work.folder / 'logs' / step.name}.log and .err; " if self.work.kept else ""

    def _left_out(self, step: Step) -> str:
        """What to run first, if a step before `step` has not ended in this folder; empty if all have."""
        if not self.work.kept or step.row:
            return ""
        before = self.work.steps[: self.work.steps.index(step)]
        waiting = [each for each in before if each.name not in self.clock.measured]
        first = next((each for each in waiting if not (each.needs or each.done or each.row)), None)
        if first is None:
            return ""
        option = f"--part {first.part}" if first.part else f"--from {first.name}"
        return f"step {first.name} before it has not ended here yet, so run {option} first; else "

    def _append(self, name: str, entry: dict[str, object]) -> None:
        path: Path = self.work.folder / name
        with path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
