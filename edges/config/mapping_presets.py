"""Read the built-in mappings: the TOML files in `edges/config/mappings`."""

import tomllib
from functools import cache
from importlib.resources import files

from pydantic import TypeAdapter

from edges.config.mapping_table import Mapping

_mappings = TypeAdapter(tuple[Mapping, ...])


@cache
def preset_names() -> tuple[str, ...]:
    """Return the names of all built-in mappings."""
    found = (file.name for file in files("edges.config.mappings").iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


@cache
def read_preset(name: str) -> tuple[Mapping, ...]:
    """Return the mappings of a built-in name."""
    text = (files("edges.config.mappings") / f"{name}.toml").read_text(encoding="utf-8")
    return _mappings.validate_python(tomllib.loads(text)["mapping"])
