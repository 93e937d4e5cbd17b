"""Values made from files of the program, kept where the interpreter keeps bytecode: above all its tables, in TOML.

Parsing one takes longer than importing ten modules. So it becomes a module that consists of the value, and the
loader that brought this module caches it as any other: made again when a file changes, and checked.
"""

from __future__ import annotations

import os
from importlib.machinery import SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Any

_ours = __spec__.loader
_Loader: Any = type(_ours) if isinstance(_ours, SourceFileLoader) else SourceFileLoader
_AS_MODULE = ".v4.py"
"""Behind a value's name, or `rules.toml` would share its cache with `rules.py`. Another number makes all anew."""


class _ValueLoader(_Loader):  # type: ignore[misc]  # the type of a loader that is known when the program runs
    def __init__(self, path: Path, sources: Sequence[Path], make: Callable[[], Any]) -> None:
        super().__init__(path.name, f"{path}{_AS_MODULE}")
        self._sources, self._make = sources, make

    def path_stats(self, path: str) -> dict[str, float]:
        facts = [os.stat(source) for source in self._sources]  # noqa: PTH116 - as the loaders do
        return {"mtime": max(each.st_mtime for each in facts), "size": sum(each.st_size for each in facts)}

    def get_data(self, path: str) -> bytes:
        if path == self.path:  # as long as `path_stats` says
            return b"".join(source.read_bytes() for source in self._sources)
        content: bytes = super().get_data(path)
        return content

    def source_to_code(self, data: bytes, path: str) -> Any:
        return compile(f"value = {self._make()!r}", path, "exec")


def kept(path: Path, sources: Sequence[Path], make: Callable[[], Any]) -> Any:
    """Return what `make` makes of some files: texts, numbers, lists and dicts, anew for each caller.

    It is kept under the name of `path`, which need not exist, until one of the files changes.
    """
    found: dict[str, Any] = {"inf": float("inf"), "nan": float("nan")}  # as `repr` writes them
    exec(_ValueLoader(path, sources, make).get_code(path.name), found)  # noqa: S102 - compiled above
    return found["value"]


def read_table(path: Path) -> dict[str, Any]:
    """Return what a TOML file of ours holds, anew for each caller."""

    def parse() -> dict[str, Any]:
        import tomllib

        return tomllib.loads(path.read_text(encoding="utf-8"))

    table: dict[str, Any] = kept(path, [path], parse)
    return table
