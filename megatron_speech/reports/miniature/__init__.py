"""Writes the report of the miniature: each section is a function from the run folder to Markdown lines.

>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> from megatron_speech.reports.facts import RunFolder
>>> from megatron_speech.reports.miniature.results import pretraining
>>> with TemporaryDirectory() as folder:
...     pretraining(RunFolder(Path(folder)))
['## Pre-training', '', 'Not run.', '']
"""
