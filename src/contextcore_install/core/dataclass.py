"""The standard library's dataclasses, made in a fraction of the time: importing the program makes more than a hundred.

The standard ones compile up to eight methods of each class at its import, and need `inspect` for it. Here `__init__` is
compiled for a class's first instance, and the other methods are shared by all classes.
"""

from __future__ import annotations

from _operator import attrgetter
from collections.abc import Callable

TYPE_CHECKING = False  # typing's own would cost importing it
if TYPE_CHECKING:
    from typing import Any

_NOTHING = object()
_NEVER_IN_SLOTS = ("__dict__", "__weakref__")


class FrozenInstanceError(AttributeError):
    """A field of a frozen instance was assigned or deleted."""


class _Field:
    __slots__ = ("default", "default_factory", "init", "repr")

    def __init__(
        self,
        default: Any = _NOTHING,
        default_factory: Any = None,
        *,
        init: bool = True,
        repr: bool = True,  # noqa: A002 - the standard name
    ) -> None:
        self.default, self.default_factory, self.init, self.repr = default, default_factory, init, repr


def _dataclass(cls: Any = None, /, *, frozen: bool = False, slots: bool = False, eq: bool = True) -> Any:
    def make(plain: Any) -> Any:
        own = {name: plain.__dict__.get(name, _NOTHING) for name in _annotated(plain)}
        fields = getattr(plain, "__light_fields__", {}) | {
            name: default if isinstance(default, _Field) else _Field(default) for name, default in own.items()
        }
        made = _with_slots(plain, tuple(own)) if slots else plain
        for name in () if slots else own:
            if isinstance(own[name], _Field):
                delattr(made, name)
        made.__light_fields__ = fields
        made.__light_values__ = attrgetter(*fields) if fields else tuple
        made.__init__ = _first_init(made, frozen=frozen)
        shared: dict[str, Any] = {"__repr__": _repr}
        shared |= {"__eq__": _eq, "__hash__": _hash if frozen else None} if eq else {}
        shared |= {"__setattr__": _refuse_set, "__delattr__": _refuse_delete} if frozen else {}
        for name, method in shared.items():
            if made.__dict__.get(name) is None:  # Python itself sets __hash__ to None beside an __eq__
                setattr(made, name, method)
        return made

    return make if cls is None else make(cls)


def _annotated(cls: Any) -> list[str]:
    return [name for name, of in cls.__annotations__.items() if not str(of).startswith(("ClassVar", "typing.ClassVar"))]


def _with_slots(cls: Any, names: tuple[str, ...]) -> Any:
    """Return the class made again: slots cannot be added to one that exists."""
    kept = {name: value for name, value in cls.__dict__.items() if name not in (*names, *_NEVER_IN_SLOTS)}
    made = type(cls)(cls.__name__, cls.__bases__, {**kept, "__slots__": names})
    made.__qualname__ = cls.__qualname__
    return made


def _first_init(cls: Any, *, frozen: bool) -> Callable[..., None]:
    def __init__(self: Any, /, *values: Any, **named: Any) -> None:  # noqa: N807 - it is one
        cls.__init__ = _compiled_init(cls, frozen=frozen)
        cls.__init__(self, *values, **named)

    return __init__


def _compiled_init(cls: Any, *, frozen: bool) -> Callable[..., None]:
    """Compile what the standard library would: parameters with their defaults, an assignment of each field."""
    known: dict[str, Any] = {"_left": _NOTHING, "_set": object.__setattr__}
    parameters, lines = ["self"], []
    for name, each in cls.__light_fields__.items():
        value, default = name, ""
        if each.default_factory is not None:
            known[f"_new_{name}"] = each.default_factory
            value, default = (
                f"_new_{name}() if {name} is _left else {name}" if each.init else f"_new_{name}()",
                "=_left",
            )
        elif each.default is not _NOTHING:
            known[f"_default_{name}"] = each.default
            value, default = name if each.init else f"_default_{name}", f"=_default_{name}"
        elif not each.init:
            continue  # __post_init__ sets it
        if each.init:
            parameters.append(f"{name}{default}")
        if frozen and "__slots__" in cls.__dict__:
            known[f"_set_{name}"] = getattr(cls, name).__set__
            lines.append(f"_set_{name}(self, {value})")
        else:
            lines.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    lines += ["self.__post_init__()"] if hasattr(cls, "__post_init__") else []
    exec(f"def __init__({', '.join(parameters)}):\n " + "\n ".join(lines or ["pass"]), known)  # noqa: S102 - of our own names
    made: Callable[..., None] = known["__init__"]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    return made


def _repr(self: Any) -> str:
    shown = (f"{name}={getattr(self, name)!r}" for name, each in self.__light_fields__.items() if each.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: Any, other: Any) -> bool:
    return (
        self.__light_values__(self) == other.__light_values__(other)
        if other.__class__ is self.__class__
        else NotImplemented
    )


def _hash(self: Any) -> int:
    return hash(self.__light_values__(self))


def _refuse_set(_: Any, name: str, _value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(_: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _replace(instance: Any, /, **changes: Any) -> Any:
    kept = {name: getattr(instance, name) for name, each in instance.__light_fields__.items() if each.init}
    return type(instance)(**{**kept, **changes})


def _asdict(instance: Any) -> Any:
    if hasattr(instance, "__light_fields__"):
        return {name: _asdict(getattr(instance, name)) for name in instance.__light_fields__}
    if isinstance(instance, list | tuple):
        return type(instance)(map(_asdict, instance))
    if isinstance(instance, dict):
        return {key: _asdict(value) for key, value in instance.items()}
    return instance


if TYPE_CHECKING:
    from dataclasses import asdict, dataclass, field, replace
else:
    asdict, dataclass, field, replace = _asdict, _dataclass, _Field, _replace
    Any = object  # for modules that every start loads: importing typing takes longer than they do

__all__ = ["Any", "FrozenInstanceError", "asdict", "dataclass", "field", "replace"]
