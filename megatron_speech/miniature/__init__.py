"""Fetches and converts the models, voices and texts of the miniature example, and builds its corpora.

>>> from megatron_speech.miniature.text import clean_text, is_speakable
>>> text = clean_text("Bogotá (bo-ɣo-ˈta) – a city.")
>>> text, is_speakable(text)
('Bogota - a city.', True)
"""
