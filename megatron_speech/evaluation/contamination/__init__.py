"""Finds evaluation items in the texts that a model was trained on, also where a voice said them.

>>> from megatron_speech.evaluation.contamination.item_index import ItemIndex
>>> index = ItemIndex([["who", "wrote", "the", "novel", "moby", "dick"]], together=8, fewest=5)
>>> [(match.item, match.share) for match in index.matches("He asked: WHO WROTE the novel, 'Moby Dick'?")]
[(0, 1.0)]
"""
