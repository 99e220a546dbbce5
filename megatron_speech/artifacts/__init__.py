"""Makes the outputs of offline stages: folders that are complete or absent, each with a manifest of its origin.

>>> from pathlib import Path; from tempfile import TemporaryDirectory
>>> from megatron_speech.artifacts.manifest import is_made, make_artifact
>>> folder = TemporaryDirectory()
>>> with make_artifact(Path(folder.name, "made"), kind="example", config={"size": 1}): pass
>>> is_made(Path(folder.name, "made"), kind="example", config={"size": 1})
True
"""
