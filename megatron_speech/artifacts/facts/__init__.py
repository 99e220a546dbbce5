"""Schemas of manifests and JSON lines: one frozen dataclass for each kind.

``read_facts(folder, CodesFacts)`` reads the facts of an artifact. A missing key or a value of another type is an error.
Unknown keys are ignored. So an older version reads the files of a newer one, and a class may hold only the facts that
its reader needs. A field with its default value is left out of the JSON.

>>> from megatron_speech.artifacts.facts.estimate import EstimateFacts
>>> EstimateFacts.from_json({"value": 0.5, "low": 0.4, "high": 0.6, "items": 10, "unknown": 0}).low
0.4
"""
