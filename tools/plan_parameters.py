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
    from megatron_speech.parallel.layout import ParallelLayout
    from megatron_speech.planning.parameters import describe
    from megatron_speech.vocabulary import Vocabulary

    with user_errors():
        vocabulary = Vocabulary(
            num_text_ids=config.num_text_ids,
            num_speech_ids=config.num_speech_ids,
            padding_multiple=config.padding_multiple,
        )
        layout = ParallelLayout.one_replica(config.parallel)
        layout.check_model(config.model, vocabulary=vocabulary)
        print(f"{layout.describe()}; vocabulary {vocabulary.size:,}, padded to {vocabulary.padded_size:,} rows")
        for line in describe(
            config.model,
            vocabulary_rows=vocabulary.padded_size,
            tensor_size=layout.tensor_size,
            layers_per_stage=layout.layers_per_stage(config.model.num_layers),
        ):
            print(line)
        if config.check:
            from megatron_speech.model.dry_run import check_parameters

            checked = check_parameters(config.model, vocabulary=vocabulary, layout=layout)
            print(f"checked: megatron-core builds the same on each of {checked} ranks and in sum")


if __name__ == "__main__":
    main()
