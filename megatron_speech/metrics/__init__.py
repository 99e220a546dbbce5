"""Metrics: word error rate, bootstrap intervals, DNSMOS, similarity of voices.

>>> from megatron_speech.metrics.bootstrap import Bootstrap
>>> from megatron_speech.metrics.word_errors import error_rates
>>> error_rates(["The cat sat down."], ["the cat sat town"])["wer"]
0.25
>>> Bootstrap().mean([0.0, 1.0, 1.0, 1.0]).value
0.75
"""
