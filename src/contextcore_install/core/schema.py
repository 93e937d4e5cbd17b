"""What a document from outside must look like where this program reads it.

A shape is a mapping of names to shapes (an object, whose other members may be anything), a list of one shape (a list
of such), `int` or `str`. Only what is there is looked at: a member that is missing or null counts as not given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any] | list[Any] | type

_WORDS = {int: "number", str: "text"}


class SchemaError(ValueError):
    """A document that is not what it should be; the message says where."""


def validate(value: Any, shape: Schema, where: str = "") -> Any:
    """Return the value, without members that are null where the shape names them; raises SchemaError."""
    if isinstance(shape, Mapping):
        return _object(value, shape, where)
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise SchemaError(f"{where or 'it'} is no list")
        return [validate(item, shape[0], f"{where}[{index}]") for index, item in enumerate(value)]
    if not isinstance(value, shape) or isinstance(value, bool):
        raise SchemaError(f"{where or 'it'} is no {_WORDS[shape]}")
    return value


def _object(value: Any, shape: Mapping[str, Any], where: str) -> Any:
    if not isinstance(value, dict):
        raise SchemaError(f"{where or 'it'} is no object")
    for name in shape.keys() & value.keys():
        if value[name] is None:
            value = {key: item for key, item in value.items() if key != name}
        else:
            taken = validate(value[name], shape[name], f"{where}.{name}")
            if taken is not value[name]:
                value = {**value, name: taken}
    return value
