"""A machine for the host provider: its own PATH, folders and ports; what it starts is ended with the test."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contextcore_install.core.dataclass import dataclass, field
from contextcore_install.core.provider import ProviderConfig, Workload
from contextcore_install.providers.host.layout import Layout
from contextcore_install.providers.host.provider import HostProvider
from contextcore_install.stack.catalogue import PORTS
from contextcore_install.system.daemons import Daemons
from kit.fakes import Told
from kit.stores import free_ports, program, wait_until

STAND_IN = '''#!{python} -S
"""Takes the arguments and the configuration of {name}, and answers as it does; not any more after SIGUSR1."""
import configparser, http.server, json, signal, sys, time
hung = []
signal.signal(signal.SIGUSR1, lambda *_: hung.append(True))
if sys.argv[1:] in (["-version"], ["--version"], ["-v"]):
    print("{version}")
    raise SystemExit
print(json.dumps(sys.argv), flush=True)
def port():
    if "{name}" == "alloy":
        return next(a for a in sys.argv if a.startswith("--server.http.listen-addr=")).rpartition(":")[2]
    if "{name}" == "grafana":
        ini = configparser.ConfigParser(interpolation=None)
        ini.read(sys.argv[sys.argv.index("--config") + 1])
        return ini["server"]["http_port"]
    path = next(a for a in sys.argv if a.startswith("-config.file=")).partition("=")[2]
    return json.load(open(path))["server"]["http_listen_port"]
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args): pass
    def do_GET(self):
        while hung:
            time.sleep(60)
        self.send_response(200 if self.path == "{ready}" else 404)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(port())), Handler).serve_forever()
'''
VERSIONS = {
    "mimir": ("Mimir, version 3.1.1 (branch: HEAD, revision: 1)", "/ready"),
    "loki": ("loki, version 3.7.6 (branch: HEAD, revision: 1)", "/ready"),
    "tempo": ("tempo, version 3.0.3 (branch: HEAD, revision: 1)", "/ready"),
    "alloy": ("alloy, version v1.18.0 (branch: HEAD, revision: 1)", "/-/ready"),
    "grafana": ("grafana version 13.2.3", "/api/health"),
}


def install_stand_in(folder: Path, name: str) -> None:
    """Put a stand-in of a component's program into a folder."""
    version, ready = VERSIONS[name]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_text(STAND_IN.format(python=sys.executable, name=name, version=version, ready=ready))
    (folder / name).chmod(0o755)


@dataclass
class World:
    """One machine with one cluster. `boot` is which start of the machine this is."""

    folder: Path
    boot: str = "boot 1"
    install_tools: bool = False
    components: frozenset[str] | None = None
    mirror: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=lambda: dict(zip(PORTS, free_ports(len(PORTS)), strict=True)))
    _homes: set[str] = field(default_factory=lambda: {"o11y-dev"})

    def __post_init__(self) -> None:
        self.path.mkdir(parents=True)
        self.bin.mkdir()

    @property
    def path(self) -> Path:
        return self.folder / "path"

    @property
    def bin(self) -> Path:
        return self.folder / "home" / "bin" if (self.folder / "home").exists() else self._make_home() / "bin"

    def _make_home(self) -> Path:
        (self.folder / "home").mkdir()
        return self.folder / "home"

    def cluster_folder(self, cluster: str = "o11y-dev") -> Path:
        self._homes.add(cluster)
        return self.folder / "home" / "clusters" / cluster

    def layout(self, cluster: str = "o11y-dev") -> Layout:
        return Layout(cluster, self.cluster_folder(cluster) / "host")

    def daemons(self, cluster: str = "o11y-dev") -> Daemons:
        layout = self.layout(cluster)
        return Daemons(layout.run, layout.logs, lambda: self.boot)

    def provider(self, cluster: str = "o11y-dev", ports: Mapping[str, int] | None = None) -> HostProvider:
        """Return a provider as a new run would make it."""
        config = ProviderConfig(
            cluster=cluster,
            folder=self.cluster_folder(cluster),
            bin_folder=self.bin,
            environ={
                "PATH": str(self.path),
                "HOME": str(self.folder),
                "GF_SERVER_HTTP_PORT": "1",
                "GOMEMLIMIT": "9GiB",
            },
            ports=self.ports if ports is None else ports,
            install_tools=self.install_tools,
            components=self.components,
            mirror=self.mirror,
            options=self.options,
        )
        return HostProvider(config, daemons=self.daemons(cluster))

    def has(self, *names: str) -> None:
        """Put real programs on PATH."""
        for name in names:
            (self.path / name).symlink_to(program(name))

    def stands_in(self, *names: str) -> None:
        """Put stand-ins on PATH."""
        for name in names:
            install_stand_in(self.path, name)

    def script(self, name: str, text: str) -> None:
        (self.path / name).unlink(missing_ok=True)
        (self.path / name).write_text(text)
        (self.path / name).chmod(0o755)

    def install(self, cluster: str = "o11y-dev") -> HostProvider:
        """Bring a cluster up and return its provider."""
        provider = self.provider(cluster)
        told = Told()
        provider.create_cluster(told.ctx)
        provider.apply_release(told.ctx)
        self.ready(provider)
        return provider

    def ready(self, provider: HostProvider, limit_s: float = 60.0) -> Sequence[Workload]:
        """Watch until all is ready, or something is said that waiting cannot heal."""
        last: Sequence[Workload] = ()
        told = Told(limit_s=limit_s)
        began = time.monotonic()
        for last in provider.watch_workloads(told.ctx):
            if all(item.ready for item in last) or any(item.finding for item in last):
                break
            assert time.monotonic() - began < limit_s, last
        return last

    def pid(self, component: str = "mimir") -> int:
        record = self.daemons().look(component).record
        assert record is not None
        return record.pid

    def kill(self, component: str = "mimir") -> None:
        os.kill(self.pid(component), signal.SIGKILL)
        wait_until(lambda: not self.daemons().look(component).alive)

    def close(self) -> None:
        for cluster in self._homes:
            daemons = self.daemons(cluster)
            for component in VERSIONS:
                with contextlib.suppress(OSError):
                    daemons.stop(component, term_s=3)
