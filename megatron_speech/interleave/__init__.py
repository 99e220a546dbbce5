"""Turns text corpora into interleaved documents: replaces spans of text by speech of a text-to-token model.

>>> from megatron_speech.interleave.spans import sample_spans
>>> sample_spans(100, ratio=0.3, mean_length=10, seed=0, document_id="a")
[(31, 43), (47, 59)]
"""
