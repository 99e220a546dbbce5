"""Reports whether interleaving carries written facts to speech: training arms, compared question by question.

``arms`` reads the training runs and their answers, ``build`` writes the page, ``figures`` draws.

>>> from megatron_speech.reports.claim.arms import slope
>>> slope([0.25, 0.5, 0.75])
0.25
"""
