"""Runs a job's share of the offline tasks of a datatrove pipeline, in several processes.

The output of each task is an artifact. Finished tasks are skipped, so a run can be repeated until all are finished. The
input files decide how work is cut into tasks, not workers or jobs. Cost: a killed task starts over.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import dill
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from loguru import logger as datatrove_log

from megatron_speech.artifacts.lock import alone
from megatron_speech.artifacts.manifest import Draft, Inputs, input_ids, made_from_else, make_artifact, require_place
from megatron_speech.artifacts.shared_counts import SharedCounts
from megatron_speech.config.stages.spread import SpreadConfig
from megatron_speech.platform.private_names import run_for_rank

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

PARTS = ".tasks"
"""Suffix of the folder with an output's parts."""


def tasks_folder(output: Path) -> Path:
    """Folder of the parts of `output`, until they are joined."""
    require_place(output)
    return output.with_name(output.name + PARTS)


def output_of(folder: Path) -> Path:
    """Output folder of the parts in `folder`; inverse of `tasks_folder`."""
    return folder.with_name(folder.name.removesuffix(PARTS))


def run_tasks(
    steps: Sequence[PipelineStep],
    *,
    tasks: int,
    run: SpreadConfig,
    folder: Path,
    counts: SharedCounts | None = None,
) -> None:
    """Run this job's share of the `tasks` tasks of the pipeline `steps`; datatrove logs to `folder`.

    The sum of all tasks' `counts` is shown as one progress.

    Raises the first error of a task, and ValueError if a worker was killed.
    """
    first, end = (job * tasks // run.jobs for job in (run.job, run.job + 1))
    if first == end:
        return
    executor = _Executor(
        list(steps),
        tasks=tasks,
        workers=min(run.workers, end - first),
        local_tasks=end - first,
        local_rank_offset=first,
        logging_dir=str(folder / f"log-{run.job:05d}"),
        skip_completed=False,  # `make_task` skips finished tasks by their manifests, which record their inputs
    )
    with counts.shown(range(first, end)) if counts else nullcontext():
        executor.run()


def make_task(
    output: Path,
    *,
    kind: str,
    config: Any,
    inputs: Inputs,
    write: Callable[[Draft], None],
    is_whole: Callable[[Path], bool] = lambda _: True,
) -> None:
    """Make the artifact of a task by `write`, unless it is finished.

    An existing artifact is made again if it is damaged, was made from something else, or `is_whole` returns False.
    """
    with alone(output):
        ids = inputs if isinstance(inputs, Mapping) else input_ids(inputs)
        if output.exists():
            fault = _fault(output, kind=kind, config=config, inputs=ids, is_whole=is_whole)
            if not fault:
                return
            # Parts may be deleted: they are not outputs.
            logger.info("%s is made again: it %s", output, fault)
            shutil.rmtree(output)
        with make_artifact(output, kind=kind, config=config, inputs=ids) as draft:
            write(draft)


def _fault(output: Path, *, kind: str, config: Any, inputs: Inputs, is_whole: Callable[[Path], bool]) -> str:
    """Reason why an existing part must be made again; empty if it can be used."""
    try:
        if difference := made_from_else(output, kind=kind, config=config, inputs=inputs):
            return f"was made {difference}"
        return "" if is_whole(output) else "lost files that it lists"
    except ValueError as error:
        return f"is damaged ({error})"


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], *, workers: int, number: Callable[[Item], int]
) -> Iterator[Result]:
    """Yield `work(item)` of every item, as they finish, computed by `workers` new processes.

    `work` is sent to each process once, by dill; items and results are pickled. Raises the first error of `work`, and
    ValueError if a process was killed, with the `number` of each unfinished item.
    """
    # Start the processes.
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    context = multiprocessing.get_context("forkserver")
    parent, alive = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        workers, context, initializer=_begin_worker, initargs=(dill.dumps(work), parent, threads)
    )
    # Yield results as they come.
    tasks = {pool.submit(_work, item): number(item) for item in items}
    try:
        for done in as_completed(tasks):
            yield done.result()
        pool.shutdown()
    except BrokenProcessPool as error:
        left = [task for future, task in tasks.items() if not future.done() or future.exception()]
        raise ValueError(
            f"a worker was killed (out of memory?) with {len(left)} of {len(tasks)} tasks not done "
            f"({', '.join(map(str, left[:9]))}{', ...' if len(left) > 9 else ''}); finished tasks are kept: run "
            "the same command again, with fewer workers if memory was short"
        ) from error
    finally:
        alive.close()  # ends the workers at once
        pool.shutdown(cancel_futures=True)


class _Executor(LocalPipelineExecutor):
    """datatrove's local executor, with another way to start tasks.

    Workers of datatrove wait forever after their parent is killed, and the parent after a worker is. Its log shows a
    user's mistake as a long traceback.
    """

    def run(self) -> None:
        ranks = range(self.local_rank_offset, self.local_rank_offset + self.local_tasks)
        if self.workers == 1:
            with _silence():
                for rank in ranks:
                    run_for_rank(self)(rank)
            return
        for _ in in_processes(run_for_rank(self), ranks, workers=self.workers, number=int):
            pass


@contextmanager
def _silence() -> Iterator[None]:
    datatrove_log.disable("datatrove")
    try:
        yield
    finally:
        datatrove_log.enable("datatrove")


_pickled_work = b""
"""In a worker process: the pickled function that it applies to items."""


def _begin_worker(work: bytes, parent: Connection, threads: int) -> None:
    """Set up a worker: end with the parent, silence datatrove, limit threads before a library takes all cores."""
    global _pickled_work
    _pickled_work = work

    def end_with_parent() -> None:
        parent.poll(None)  # nothing is sent; returns when the parent closes its end or dies
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent ends this one
    os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    datatrove_log.disable("datatrove")


def _work(item: Any) -> Any:
    return _loaded_work()(item)


@cache
def _loaded_work() -> Callable[[Any], Any]:
    work: Callable[[Any], Any] = dill.loads(_pickled_work)
    return work
