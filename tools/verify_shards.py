#!/usr/bin/env python
"""Read folders of token shards whole and tell every damage: file, block, member, byte. Exit status 1 if any."""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.shards import VerifyShardsConfig


def main() -> None:
    config = parse_config(VerifyShardsConfig, description=__doc__ or "")
    import logging

    from megatron_speech.data.shards.verify import verify_shards

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    number = 0
    with user_errors():
        for number, damage in enumerate(verify_shards(config), start=1):  # noqa: B007
            print(damage, flush=True)
    folders = f"{len(config.folders)} folder{'s' * (len(config.folders) > 1)}"
    print(f"{number or 'no'} damage{'s' * (number > 1)} in {folders}")
    raise SystemExit(1 if number else 0)


if __name__ == "__main__":
    main()
