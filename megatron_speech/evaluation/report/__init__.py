"""The report of a miniature run: report.md and its figures, from manifests and metric lines."""
