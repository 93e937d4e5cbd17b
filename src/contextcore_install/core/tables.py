"""The program's tables: TOML files beside its modules, kept in parsed form where the interpreter keeps bytecode.

Parsing one takes longer than importing ten modules. So it becomes a module that consists of the table, and the
loader that brought this module caches it as any other: made again when the file changes, and checked.
"""

from __future__ import annotations

from importlib.machinery import SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

_ours = __spec__.loader
_Loader: Any = type(_ours) if isinstance(_ours, SourceFileLoader) else SourceFileLoader
_AS_MODULE = ".v2.py"
"""Behind a table's name, or `rules.toml` would share its cache with `rules.py`. Another number makes all anew."""


class _TableLoader(_Loader):  # type: ignore[misc]  # the type of a loader that is known when the program runs
    def path_stats(self, path: str) -> Any:
        return super().path_stats(path.removesuffix(_AS_MODULE))

    def get_data(self, path: str) -> bytes:
        content: bytes = super().get_data(path.removesuffix(_AS_MODULE))
        return content

    def source_to_code(self, data: bytes, path: str) -> Any:
        import tomllib

        return compile(f"from math import inf, nan\ntable = {tomllib.loads(data.decode())!r}", path, "exec")


def read_table(path: Path) -> dict[str, Any]:
    """Return what a TOML file of ours holds, anew for each caller."""
    found: dict[str, Any] = {}
    exec(_TableLoader(path.name, f"{path}{_AS_MODULE}").get_code(path.name), found)  # noqa: S102 - of our own file
    table: dict[str, Any] = found["table"]
    return table
