"""`python -m megatron_speech.lm_evaluation`: the command line of lm-evaluation-harness, with our models in it."""

from __future__ import annotations

from megatron_speech.config.parsing.parse import user_errors


def main() -> None:
    """Register the models and run the harness; a mistake is one line."""
    with user_errors():
        try:
            from lm_eval.__main__ import cli_evaluate
        except ModuleNotFoundError as error:
            raise ValueError("lm_eval is not installed; pip install 'megatron-speech[lm-eval]'") from error
        import megatron_speech.lm_evaluation.adapter  # noqa: F401 - registers the models

        cli_evaluate()


if __name__ == "__main__":
    main()
