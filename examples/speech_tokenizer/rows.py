"""Names of the rows of experiments.yaml, one per line; with a name: its words for the training's command line."""

import shlex
import sys
from pathlib import Path

import yaml

rows = yaml.safe_load((Path(__file__).parent / "experiments.yaml").read_text())["rows"]
if len(sys.argv) == 1:
    print("\n".join(rows))
elif sys.argv[1] in rows:
    print("\n".join(shlex.split(rows[sys.argv[1]])))
else:
    sys.exit(f"error: {sys.argv[1]} is no row of experiments.yaml; name one of {', '.join(rows)}")
