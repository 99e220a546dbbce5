"""The command line: one table of commands, behind `megatron-speech <verb>` and the files of `tools/`.

>>> from megatron_speech.commands.table import find
>>> find("pack_shards").stage
'data'
"""
