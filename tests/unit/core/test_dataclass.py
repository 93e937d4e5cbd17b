"""Beside the standard library's, whose place ours take: every difference would be a surprise."""

import dataclasses
from typing import Any, ClassVar

import pytest

from contextcore_install.core import dataclass as ours

BOTH = pytest.mark.parametrize("of", [ours, dataclasses], ids=["ours", "standard"])


def example(of: Any, **how: bool) -> Any:
    @of.dataclass(**how)
    class Example:
        kind: ClassVar[str] = "example"
        name: str
        size: int = 3
        secret: str = of.field(default="", repr=False)
        parts: list[Any] = of.field(default_factory=list)
        seen: bool = of.field(default=False, init=False)

    return Example


HOW = [{"frozen": frozen, "slots": slots} for frozen in (False, True) for slots in (False, True)]


@BOTH
@pytest.mark.parametrize("how", HOW)
def test_instances_are_made_compared_and_shown(of: Any, how: dict[str, bool]) -> None:
    cls = example(of, **how)
    first, second = cls("a"), cls(name="a", size=3)
    assert first == second
    assert first != cls("b")
    assert first != ("a", 3, "", [], False)
    assert first.parts is not second.parts
    assert (cls.kind, first.seen) == ("example", False)
    shown = repr(cls("a", 1, "hidden", [2]))
    assert shown.endswith("Example(name='a', size=1, parts=[2], seen=False)")
    assert hasattr(first, "__dict__") is not how["slots"]


@BOTH
@pytest.mark.parametrize("arguments", [{}, {"name": "a", "other": 1}, {"name": "a", "seen": True}])
def test_wrong_arguments_are_refused_at_the_first_instance_too(of: Any, arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"__init__\(\)"):
        example(of)(**arguments)


@BOTH
def test_the_frozen_ones_can_be_hashed_and_not_changed(of: Any) -> None:
    @of.dataclass(frozen=True, slots=True)
    class Point:
        x: int
        y: int = 0

    make: Any = Point
    point = make(1)
    assert len({point, make(1, 0), make(2)}) == 2
    with pytest.raises(of.FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 2
    with pytest.raises(of.FrozenInstanceError, match="cannot delete field 'x'"):
        del point.x
    assert of.replace(point, y=5) == make(1, 5)
    with pytest.raises(TypeError):
        hash(example(of)("a"))


@BOTH
def test_a_subclass_has_the_fields_of_its_base_first(of: Any) -> None:
    @of.dataclass(frozen=True, slots=True)
    class Base:
        x: int
        y: int = 1

        @property
        def total(self) -> int:
            return self.x + self.y

    @of.dataclass(frozen=True, slots=True)
    class Derived(Base):
        z: int = 2

    make: Any = Derived
    assert of.asdict(make(5, z=7)) == {"x": 5, "y": 1, "z": 7}
    assert make(5).total == 6
    assert make(5) != example(of)("a")
    assert not hasattr(make(5), "__dict__")


@BOTH
def test_what_follows_the_fields_and_what_a_class_says_itself_count(of: Any) -> None:
    @of.dataclass(eq=False)
    class Failed(Exception):  # noqa: N818
        text: str
        shown: str = of.field(init=False)

        def __post_init__(self) -> None:
            self.shown = self.text.upper()

        def __repr__(self) -> str:
            return "mine"

    failure = Failed("a")
    assert (failure.shown, repr(failure), failure.args) == ("A", "mine", ("a",))
    assert failure != Failed("a")
    assert hash(failure)


@BOTH
def test_documents_hold_the_documents_of_what_is_inside(of: Any) -> None:
    inner = example(of)("b")
    document = of.asdict(example(of)("a", parts=[inner, (1, inner)]))
    as_document = {"name": "b", "size": 3, "secret": "", "parts": [], "seen": False}
    assert document["parts"] == [as_document, (1, as_document)]
