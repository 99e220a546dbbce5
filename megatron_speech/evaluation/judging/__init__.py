r"""Lets language models judge answers that no matcher can: behind an address, by prompts that are files.

>>> from megatron_speech.evaluation.judging.prompts import load_prompt
>>> prompt = load_prompt("right_answer")
>>> prompt.verdict_of("Oslo is the capital of Norway.\n**Verdict: right**"), prompt.verdict_of("Yes, but ...")
('right', None)
"""
