"""Settings of the tools that write reports.

>>> from megatron_speech.config.reports.tokenizer_report import RobustnessConfig, pairs
>>> RobustnessConfig(snrs_db=[10.0]).rates
[8000, 48000]
>>> pairs("--bottleneck.frame_rate 25 --steps=600")
[('bottleneck.frame_rate', '25'), ('steps', '600')]
"""
