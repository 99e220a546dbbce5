"""Trains speech tokenizers through recognition, on one rank or many.

>>> from megatron_speech.config.stages.train_speech_tokenizer import TrainSpeechTokenizerConfig, SpeechSourceConfig
>>> from megatron_speech.speech_tokenizer.training.schedule import learning_rate
>>> sources = {"read": SpeechSourceConfig(audio="audio")}
>>> config = TrainSpeechTokenizerConfig(output="out", whisper="whisper", sources=sources, warmup_steps=4)
>>> learning_rate(1, config)  # half of the warm-up
5e-05
"""
