"""YAML files and command lines to frozen dataclasses: no value is ever taken for code."""
