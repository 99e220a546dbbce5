"""Text and speech in one sequence: span sampling, composition, task layouts."""
