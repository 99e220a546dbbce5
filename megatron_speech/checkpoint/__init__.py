"""Checkpoints that load in any parallel layout, and their conversion from and to Hugging Face folders.

>>> import pathlib, tempfile
>>> from megatron_speech.checkpoint.folder import begin, complete, latest_checkpoint, step_folder
>>> with tempfile.TemporaryDirectory() as run:
...     complete(begin(step_folder(pathlib.Path(run), step=100)))
...     latest_checkpoint(pathlib.Path(run)).name
'step_100'
"""
