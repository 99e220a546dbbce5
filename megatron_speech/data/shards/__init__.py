"""The file format of token shards: written, read, checked, repaired and exported.

A shard is a tar of blocks, WebDataset samples named ``<shard>-<block>``; each block holds many documents or rows.

>>> from megatron_speech.data.shards.tar_blocks import member_info
>>> member_info("text-000000.tar", 3, "tokens.i32", 4096).name
'text-000000-000003.tokens.i32'
"""
