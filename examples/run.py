#!/usr/bin/env python
"""Runs an example, step by step.

    python examples/run.py miniature --help

`bash examples/<name>/run.sh` installs the packages first, then does the same.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from examples.runner.work import Step, Work


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see --help")


def main(words: list[str]) -> int:
    """Run or list the steps. Returns the exit status: 2 for a mistake or a failed step, 1 for failed rows."""
    from examples.runner.runner import RowsFailed, StepFailed, print_error, run

    try:
        work, options = parse(words)
        chosen = _chosen(work.steps, only=options.only, first=options.first)
        if options.list:
            print("\n".join([f"cd {work.folder}", *(f"{step}  # {step.name}" for step in chosen)]))
            return 0
        run(work, chosen)
    except (ValueError, OSError, StepFailed) as error:
        print_error(str(error))
        return 2
    except RowsFailed as error:
        print_error(str(error))
        return 1
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        return 130
    if work.report:
        print(f"report: {work.folder / work.report}")
    return 0


def parse(words: list[str]) -> tuple[Work, argparse.Namespace]:
    """The work of the example that the first word names, and its options. Raises ValueError for a mistake."""
    from examples.table import EXAMPLES

    name = words[0] if words else ""
    if name in ("-h", "--help"):
        print(f"{__doc__}\nexamples: {', '.join(EXAMPLES)}")
        raise SystemExit(0)
    if name not in EXAMPLES:
        raise ValueError(f"'{name}' is no example; name one of {', '.join(EXAMPLES)}")
    example = EXAMPLES[name]
    parser = _Parser(
        prog=f"bash examples/{name}/run.sh",
        description=example.about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    example.options(parser)
    parser.add_argument("--list", action="store_true", help="print the commands instead of running them")
    parser.add_argument("--only", metavar="STEP", help="run this step alone")
    parser.add_argument("--from", metavar="STEP", dest="first", help="leave out the steps before this one")
    options, more = parser.parse_known_args(words[1:])
    options.more = more
    if options.more and not example.passes_on:
        raise ValueError(f"{options.more[0]} is not an option; see --help")
    return example.work(options), options


def _chosen(steps: list[Step], *, only: str | None, first: str | None) -> list[Step]:
    names = [step.name for step in steps]
    for key, name in (("--only", only), ("--from", first)):
        if name is not None and name not in names:
            raise ValueError(f"{key}={name} is no step; --list names them")
    if only is not None:
        return [step for step in steps if step.name == only]
    return steps[names.index(first) if first is not None else 0 :]


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.exit(main(sys.argv[1:]))
