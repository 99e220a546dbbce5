"""Writes reports: Markdown and figures from the facts in manifests and from metric lines.

>>> from megatron_speech.reports.facts import percent, table
>>> for line in table(["reader", "WER"], [["from codes", percent(0.123)]])[:3]:
...     print(line)
| reader | WER |
| :-- | --: |
| from codes | 12.3 % |
"""
