"""A real installation to measure: made in a folder of its own, and deleted afterwards."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import FOLDER, ROOT, Command, environment

from contextcore_install.core.dataclass import dataclass

LAUNCHER = str(ROOT / "create-cluster.sh")
CLUSTER = "o11y-dev"


@dataclass(frozen=True)
class Installation:
    """A finished installation on this machine's processes."""

    home: Path

    def command(self, *arguments: str) -> Command:
        """Return an invocation of the program on it, by the launcher."""
        return Command([LAUNCHER, *arguments], self.variables)

    @property
    def variables(self) -> dict[str, str]:
        """What makes a program speak of this installation."""
        return {"CONTEXTCORE_HOME": str(self.home)}

    @property
    def interpreter(self) -> str:
        """The Python that the launcher starts."""
        return (self.home / "runtime" / "python").read_text().splitlines()[0]

    @property
    def runtime(self) -> Path:
        """The folder with what the program depends on."""
        return next(path.parent for path in (self.home / "runtime").glob("*/psutil"))


@contextmanager
def installation() -> Iterator[Installation]:
    """Install, with the metrics store on a free port; needs a package index and archive where nothing is cached."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="home-", dir=FOLDER) as folder:
        made = Installation(Path(folder))
        port = ["--port", f"mimir={free_port()}"]
        try:
            _run(made.command("--install-tools", "--yes", "--provider", "host", *port))
            yield made
        finally:
            _run(made.command("delete", "--yes", "--cluster", CLUSTER))


def _run(command: Command) -> None:
    done = subprocess.run(
        command.argv,
        cwd=ROOT,
        env=environment(command.variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command.argv)}: exit code {done.returncode}\n{done.stdout}")


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
