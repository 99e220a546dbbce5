#!/usr/bin/env python
"""List the parameters of every rank of a run, by arithmetic, before it is queued.

Takes the run's own YAML file and the sizes of its vocabulary; --check true compares with the models that megatron-core
builds, on any machine.
"""

from megatron_speech.config.parsing.parse import parse_config, user_errors
from megatron_speech.config.stages.plan_parameters import PlanParametersConfig


def main() -> None:
    """Parse, list, check if asked."""
    config = parse_config(PlanParametersConfig, description=__doc__)
    from megatron_speech.planning.parameters import plan_parameters, planned_layout, planned_vocabulary

    with user_errors():
        for line in plan_parameters(config):
            print(line)
        if config.check:
            from megatron_speech.model.dry_run import check_parameters

            checked = check_parameters(
                config.model, vocabulary=planned_vocabulary(config), layout=planned_layout(config)
            )
            print(f"checked: megatron-core builds the same on each of {checked} ranks and in sum")


if __name__ == "__main__":
    main()
