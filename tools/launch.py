#!/usr/bin/env python
"""Start a tool on several ranks: torchrun, which shows a mistake as one line, the last on the screen.

    python tools/launch.py --nproc-per-node 8 tools/pretrain.py --config run.yaml

Takes torchrun's own options (`torchrun --help`). Ctrl-C lets the ranks save and leave; once more ends them at once.
"""

import sys

from megatron_speech.config.parsing.leaving import interruption_is_one_line


def main() -> None:
    """Hand everything to torchrun."""
    if sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        return
    interruption_is_one_line()
    from megatron_speech.parallel.launcher import launch

    launch(sys.argv[1:])


if __name__ == "__main__":
    main()
