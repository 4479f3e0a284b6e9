"""The version of VitalFlow. pyproject.toml reads it from here, so it is known without installed package metadata."""

VERSION = "0.2.0"
