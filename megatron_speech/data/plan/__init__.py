"""Plans which row a run reads at which sample number: arithmetic on settings and row counts.

>>> from megatron_speech.config.run.data import DataConfig, SourceConfig
>>> from megatron_speech.data.plan.mixture import SourceFacts, plan_of
>>> data = DataConfig(sources={"a": SourceConfig(folder="a", task="text")})
>>> plan = plan_of(data, {"a": SourceFacts(rows=10, text_share=1.0, checksum="")}, vocabulary="", num_samples=25)
>>> plan.num_samples, plan.consumed(12)
(25, {'a': 12})
"""
