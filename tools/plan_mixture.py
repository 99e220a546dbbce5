#!/usr/bin/env python
"""Print what a run will read, before it is queued: rows, tokens, share and epochs of every source in every stage.

Takes the run's own YAML file; where data do not exist yet, sizes.<source> states how large they will be.
"""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.plan_mixture import PlanMixtureConfig


def main() -> None:
    """Parse, print, and only then refuse what is read too often."""
    config = parse_config(PlanMixtureConfig, description=__doc__ or "")
    from megatron_speech.data.plan.table import describe, require_epochs
    from megatron_speech.planning.mixture import plan_mixture

    with user_errors():
        plan = plan_mixture(config)
        print(describe(plan))
        require_epochs(plan, "data.sources")


if __name__ == "__main__":
    main()
