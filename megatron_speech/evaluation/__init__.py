"""Evaluates exported language models by tasks, and speech tokenizers and decoders by what is heard.

>>> from megatron_speech.config.stages.evaluate import EvaluateConfig, HeldOutConfig
>>> from megatron_speech.evaluation.tasks.table import asked_tasks
>>> held_out = HeldOutConfig(sources={"wiki": "documents/wiki"})
>>> list(asked_tasks(EvaluateConfig(model="hf", output="evaluation", held_out=held_out)))
['held_out']
"""
