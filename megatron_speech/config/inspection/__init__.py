"""Settings of the tools that look at things: shards, plans, spoken forms, folders of artifacts.

>>> from megatron_speech.config.inspection.read_aloud import ReadAloudConfig
>>> ReadAloudConfig(language="zh").language
'zh'
"""
