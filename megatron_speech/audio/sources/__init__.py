"""Readers for the usual layouts of speech corpora (tables, folders, tars); each yields listed utterances.

>>> from megatron_speech.audio.sources.columns import Columns
>>> columns = Columns(audio="path", text="sentence", times={"start": ("start_ms", 1000), "end": ("end_ms", 1000)})
>>> row = {"path": "a.wav", "sentence": "Hello.", "start_ms": 500, "end_ms": 1750}
>>> listed = columns.listed(row, place="table.tsv:2", name="a")
>>> listed.text, listed.start_s, listed.duration_s
('Hello.', 0.5, 1.25)
"""
