"""Reads evaluation data sets as their publishers lay them out; a data set is never copied or converted.

>>> from pathlib import Path
>>> from megatron_speech.evaluation.data_sets.items import ChoiceItem, Passage, spoken
>>> missing = spoken(Path("no/such/file.wav"), "The end.")
>>> ChoiceItem(id="1", candidates=(missing, Passage(text="No end.")), right=0).defect
'missing'
"""
