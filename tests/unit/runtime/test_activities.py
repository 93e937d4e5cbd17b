"""What a command that takes long shows of its work."""

from __future__ import annotations

import io
from pathlib import Path

from contextcore_install.core.dataclass import replace
from contextcore_install.runtime.interaction import cancellable
from contextcore_install.system.clock import SystemClock
from kit import installed_records


class Clock(SystemClock):
    """A clock that goes on as it is told."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A terminal of 20 columns."""

    def isatty(self) -> bool:
        return True


def shown(tmp_path: Path, out: io.StringIO, environ: dict[str, str]) -> str:
    clock = Clock()
    app = replace(installed_records.app(tmp_path, "backup"), stdout=out, clock=clock, environ=environ)
    with cancellable(app) as ctx:
        ctx.activity("saving a: 1 MiB")
        clock.now = 2.0
        ctx.activity("saving a: 2 MiB")
        ctx.notice("a notice: longer than the terminal is wide")
        ctx.activity("saving a: 3 MiB")
        clock.now = 8.0
        ctx.activity("saving a: 4 MiB of a very large file")
    return out.getvalue()


def test_counting_on_takes_the_line_before_on_a_terminal_and_nothing_else_does(tmp_path: Path) -> None:
    assert shown(tmp_path, Terminal(), {"TERM": "xterm", "COLUMNS": "20"}) == (
        "  saving a: 1 MiB\n"
        "\x1b[A\r\x1b[K  saving a: 2 MiB\n"
        "  a notice: longer than the terminal is wide\n"
        "  saving a: 3 MiB\n"
        "\x1b[A\r\x1b[K  saving a: 4 MiB o…\n"
    )


def test_counting_on_is_shown_every_few_seconds_elsewhere(tmp_path: Path) -> None:
    assert shown(tmp_path, io.StringIO(), {}) == (
        "  saving a: 1 MiB\n"
        "  a notice: longer than the terminal is wide\n"
        "  saving a: 3 MiB\n"
        "  saving a: 4 MiB of a very large file\n"
    )
