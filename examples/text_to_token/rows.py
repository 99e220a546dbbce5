"""Names of the rows of curve.yaml, one per line; with a name: how many pairs it learns from, and what it reads."""

import sys
from pathlib import Path

import yaml

rows = yaml.safe_load((Path(__file__).parent / "curve.yaml").read_text())["rows"]
if len(sys.argv) == 1:
    print("\n".join(rows))
elif sys.argv[1] in rows:
    row = rows[sys.argv[1]]
    print(row["utterances"], row.get("spelling", "sounds"))
else:
    sys.exit(f"error: {sys.argv[1]} is no row of curve.yaml; name one of {', '.join(rows)}")
