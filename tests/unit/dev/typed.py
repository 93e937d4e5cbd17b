"""Whether documents are what the classes of Grafana's SDK say, which are generated from Grafana's own schemas."""

from __future__ import annotations

import enum
import json
import types
import typing
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def read(document: dict[str, Any]) -> Dashboard:
    register_default_plugins()
    return Dashboard.from_json(document)


def written(dashboard: Dashboard) -> dict[str, Any]:
    """Return the document that the classes make: what they do not know is not in it."""
    found: dict[str, Any] = json.loads(json.dumps(dashboard, cls=JSONEncoder))
    return found


def misfits(value: Any, kind: Any = Dashboard, where: str = "dashboard") -> list[str]:
    """Return where a value is not of the type that is written for it."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        options = arguments if value is None else [option for option in arguments if option is not type(None)]
        return min((misfits(value, option, where) for option in options), key=len)
    if origin is list and isinstance(value, list):
        return [m for place, item in enumerate(value) for m in misfits(item, arguments[0], f"{where}[{place}]")]
    if origin is dict and isinstance(value, dict):
        return [m for name, item in value.items() for m in misfits(item, arguments[1], f"{where}[{name}]")]
    if isinstance(value, dict) and hasattr(kind, "from_json"):  # some the SDK leaves as they are
        return misfits(kind.from_json(value), kind, where)
    if not _fits(value, kind):
        return [f"{where}: {value!r} is no {kind}"]
    if not hasattr(value, "to_json"):
        return []
    hints = typing.get_type_hints(type(value))
    return [m for name, hint in hints.items() for m in misfits(getattr(value, name), hint, f"{where}.{name}")]


def _fits(value: Any, kind: Any) -> bool:
    if typing.get_origin(kind) is typing.Literal:
        return value in typing.get_args(kind)
    if typing.get_origin(kind) is not None:
        return False
    if kind is object:
        return True
    if issubclass(kind, enum.Enum):
        return value in {member.value for member in kind}
    if kind in {float, int}:
        return isinstance(value, (int, float) if kind is float else int) and not isinstance(value, bool)
    return isinstance(value, kind)
