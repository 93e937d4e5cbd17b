"""As much of Alloy's configuration syntax as a check of our own file takes: blocks, attributes and their values."""

from __future__ import annotations

import re

from contextcore_install.core.dataclass import dataclass, field

_TOKEN = re.compile(r'\s+|//[^\n]*|(?P<word>[A-Za-z_][\w.]*)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<sign>[{}\[\]=,])')


@dataclass
class Block:
    """`name "label" { ... }`; values are strings, words (references, booleans) or lists of those."""

    name: str
    label: str = ""
    values: dict[str, str | list[str]] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)

    def block(self, name: str) -> Block:
        return next(b for b in self.blocks if b.name == name)


def tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"not Alloy syntax: {text[at : at + 40]!r}")
        at = match.end()
        if match.lastgroup:
            found.append(match.group())
    return found


def parse(text: str) -> list[Block]:
    """Return the blocks of a file; ValueError where it is malformed."""
    rest = tokens(text)[::-1]
    root = Block("")
    while rest:
        _statement(root, rest)
    if root.values:
        raise ValueError("an attribute outside of a block")
    return root.blocks


def _take(rest: list[str], wanted: str = "") -> str:
    if not rest or (wanted and rest[-1] != wanted):
        raise ValueError(f"expected {wanted or 'more'}, found {rest[-1] if rest else 'the end'}")
    return rest.pop()


def _statement(into: Block, rest: list[str]) -> None:
    name = _take(rest)
    if rest and rest[-1] == "=":
        _take(rest)
        into.values[name] = _value(rest)
        return
    label = _take(rest).strip('"') if rest and rest[-1].startswith('"') else ""
    _take(rest, "{")
    block = Block(name, label)
    while rest and rest[-1] != "}":
        _statement(block, rest)
    _take(rest, "}")
    into.blocks.append(block)


def _value(rest: list[str]) -> str | list[str]:
    if not rest or rest[-1] != "[":
        return _take(rest).strip('"')
    _take(rest)
    items = []
    while rest and rest[-1] != "]":
        items.append(_take(rest).strip('"'))
        if rest and rest[-1] == ",":
            _take(rest)
    _take(rest, "]")
    return items
