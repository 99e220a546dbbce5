"""Commands that run whole examples, and write data to try them on."""

from __future__ import annotations

from megatron_speech.commands.command import Command

EXAMPLES = (
    Command(
        name="run",
        summary="Run an example, step by step: every step is one of the commands below.",
        about="`run` alone names the examples, and `run EXAMPLE --help` tells its options. --list prints the commands "
        "of its steps, --part, --only and --from choose some. Finished steps are skipped, so it can be stopped and "
        "repeated.",
        stage="examples",
        function="examples.run:run",
        words="[EXAMPLE] [options]",
        example="own_data --data mydata --list",
        logs=False,
    ),
    Command(
        name="sample_data",
        summary="Write a folder of texts, recordings and evaluation sets, such as you would bring.",
        about="Its README.md says what each file is. What it reads is fetched first (19 MB).",
        stage="examples",
        settings="config.stages.miniature:SampleDataConfig",
        function="miniature.sample_data:sample_data",
        usual=("output", "assets"),
        example="--output mydata",
    ),
)
