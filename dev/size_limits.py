"""Limits on the size of files, functions and parameter lists, which `make lint` checks."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
FILE_LINES, FUNCTION_LINES, PARAMETERS, MODULE_LINES = 300, 40, 7, 50
"""At most, at most, at most; and how small a module may not be that only one other imports."""

INTERFACES = ("contextcore_install.steps.",)
"""Where each module is an implementation of one interface, however small."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> int:
    """Print what is beyond a limit, one line each; return whether there is any."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
    beyond = [*_too_long(trees), *_too_small(trees)]
    print(*beyond, sep="\n", end="\n" if beyond else "")  # noqa: T201 - a developers' command
    return int(bool(beyond))


def _too_long(trees: Mapping[Path, ast.Module]) -> Iterator[str]:
    for path, tree in trees.items():
        if path.name.endswith("_pb2.py"):
            continue
        if (count := _lines(path)) > FILE_LINES:
            yield f"{_name(path)}: {count} lines; at most {FILE_LINES}"
        for node in (node for node in ast.walk(tree) if isinstance(node, _Function)):
            if (count := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES:
                yield f"{_name(path)}:{node.lineno}: {node.name} has {count} lines; at most {FUNCTION_LINES}"
            if (count := _parameters(node)) > PARAMETERS:
                yield f"{_name(path)}:{node.lineno}: {node.name} takes {count} parameters; at most {PARAMETERS}"


def _too_small(trees: Mapping[Path, ast.Module]) -> Iterator[str]:
    modules = {_dotted(path): path for path in trees}
    importers: dict[str, set[str]] = defaultdict(set)
    for path, tree in trees.items():
        for node in (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                importers[inner if inner in modules else str(node.module)].add(_dotted(path))
    for name, path in modules.items():
        small = _lines(path) < MODULE_LINES and path.name != "__init__.py" and not name.startswith(INTERFACES)
        if small and len(importers[name]) == 1:
            yield f"{_name(path)}: {_lines(path)} lines, and {min(importers[name])} alone imports it"


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _parameters(node: _Function) -> int:
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([argument for argument in named if argument.arg not in {"self", "cls"}])


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def _name(path: Path) -> str:
    return str(path.relative_to(SOURCE.parent))


if __name__ == "__main__":
    sys.exit(main())
