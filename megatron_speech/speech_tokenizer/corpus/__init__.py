"""Encodes audio shards into shards of speech codes.

>>> from megatron_speech.speech_tokenizer.corpus.windows import cut_windows
>>> windows = cut_windows(16000 * 70, samples_per_token=1280, max_tokens=375, overlap_tokens=0)  # 70 s
>>> [window.keep for window in windows]
[375, 375, 125]
"""
