"""Audio: reading and writing files, exact rates, log-mel features, import of corpora, and audio shards.

>>> from megatron_speech.audio.rates import SpeechRates
>>> rates = SpeechRates.of_token_rate(12.5)
>>> rates.samples_per_token, rates.tokens(num_samples=16000), rates.seconds(num_tokens=25)
(1280, 13, 2.0)
"""
