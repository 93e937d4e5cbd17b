"""Checks what a document from outside looks like before this program reads it.

A schema is a mapping of names to schemas (an object, whose other members may be anything), a list of one schema (a list
of such), `int` or `str`. A member that is missing or null counts as not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any] | list[Any] | type

_WORDS = {int: "number", str: "text", list: "list", dict: "object"}


class SchemaError(ValueError):
    """A document that does not fit its schema; the message says where."""


def validate(value: Any, schema: Schema, where: str = "") -> Any:
    """Return the value, without members that are null where the schema names them; raises SchemaError."""
    wanted: type[Any] = schema if isinstance(schema, type) else list if isinstance(schema, list) else dict
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise SchemaError(f"{where or 'it'} is no {_WORDS[wanted]}")
    if isinstance(schema, list):
        return [validate(item, schema[0], f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(schema, Mapping):
        given = {name: item for name, item in value.items() if item is not None or name not in schema}
        return given | {n: validate(given[n], schema[n], f"{where}.{n}") for n in schema.keys() & given.keys()}
    return value
