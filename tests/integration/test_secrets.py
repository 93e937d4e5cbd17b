"""Secrets planted wherever one can enter, and looked for wherever something is kept, shown, sent or run."""

from __future__ import annotations

import gzip
import io
import re
import sys
import tarfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from contextcore_install.core.dataclass import dataclass, field, replace
from kit.host_world import VERSIONS
from kit.installation import Installation, end
from kit.stores import wait_until

MARK = "pl4nt3dM4rk3r"

PROGRAM = '''#!{python} -S
"""Stands in for {name}: keeps what it is sent, and says secrets on every occasion."""
import configparser, gzip, http.server, json, os, pathlib, sys, threading
said = "token={mark}-said-by-{name} Authorization: Bearer {mark}.said.by.{name}"
if sys.argv[1:] in (["-version"], ["--version"], ["-v"]):
    print("{version} " + said)
    raise SystemExit
print("starting with password={mark}-in-log", flush=True)
if pathlib.Path("{folder}", "{name}.broken").exists():
    print("fatal: cannot log in: " + said, flush=True)
    raise SystemExit("error: postgres://joe:{mark}-dsn@127.0.0.1/x refused, " + said)
def ports():
    if "{name}" == "alloy":
        ui = next(a for a in sys.argv if a.startswith("--server.http.listen-addr=")).rpartition(":")[2]
        return [ui, os.environ["OTLP_OF_TEST"]]
    if "{name}" == "grafana":
        ini = configparser.ConfigParser(interpolation=None)
        ini.read(sys.argv[sys.argv.index("--config") + 1])
        return [ini["server"]["http_port"]]
    path = next(a for a in sys.argv if a.startswith("-config.file=")).partition("=")[2]
    return [json.load(open(path))["server"]["http_listen_port"]]
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args): pass
    def do_GET(self):
        self.send_response(200 if self.path == "{ready}" else 404)
        self.end_headers()
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with open("{folder}/{name}.received", "ab") as file:
            file.write(str(self.headers).encode() + body)
        self.send_response(204 if "{name}" == "loki" else 200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.end_headers()
servers = [http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler) for port in ports()]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
'''


@dataclass
class Arguments:
    """The arguments of every process of this machine that ran while the test did, and have a mark."""

    marked: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        while not self.over.wait(0.01):
            for process in psutil.process_iter():
                try:
                    line = " ".join(process.cmdline())
                except (psutil.Error, OSError):
                    continue
                if MARK in line:
                    self.marked.add(line)


@dataclass
class World:
    """An installation amid secrets. `said` is all that its commands printed."""

    place: Installation
    programs: Path
    environ: Mapping[str, str]
    said: list[str] = field(default_factory=list)

    def run(self, *words: str, expect: int = 0, stdin: str = "", **more: str) -> str:
        done = self.place.run(*words, environ={**self.environ, **more}, stdin=stdin)
        assert done.returncode == expect, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        self.said.append(f"{words}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def break_loki(self) -> None:
        (self.programs / "loki.broken").touch()
        for process in self.place.processes():
            if any("loki" in word for word in process.cmdline()):
                end(process)

    def received(self, name: str) -> bytes:
        path = self.programs / f"{name}.received"
        return path.read_bytes() if path.exists() else b""


@pytest.fixture
def arguments() -> Iterator[Arguments]:
    watched = Arguments()
    thread = threading.Thread(target=watched.watch)
    thread.start()
    yield watched
    watched.over.set()
    thread.join()


@pytest.fixture
def world(installation: Installation) -> World:
    programs = installation.folder / "programs"
    programs.mkdir()
    for name in ("grafana", "loki", "tempo", "alloy"):
        version, ready = VERSIONS[name]
        text = PROGRAM.format(
            python=sys.executable, name=name, version=version, ready=ready, mark=MARK, folder=programs
        )
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environ = {
        "OTLP_OF_TEST": str(installation.ports["alloy-http"]),
        "HTTPS_PROXY": f"http://joe:{MARK}-proxy@127.0.0.1:9",
        "http_proxy": f"http://joe:{MARK}-proxy@127.0.0.1:9",
        "PIP_INDEX_URL": f"https://joe:{MARK}-index@127.0.0.1:9/simple",
        "GITHUB_TOKEN": f"{MARK}-github",
        "AWS_SECRET_ACCESS_KEY": f"{MARK}-aws",
        "GF_SECURITY_ADMIN_PASSWORD": f"{MARK}-admin",
        "CONTEXTCORE_NOTIFY_SECONDS": "5",
    }
    return World(replace(installation, path=(str(programs),)), programs, environ)


SAYING = """\
#!/bin/sh
case "$1 $2" in
  "info --format") echo '{{"ServerVersion": "28.0", "MemTotal": 8589934592, "NCPU": 4, "CgroupVersion": "2"}}';;
  "version "|"version --client") echo "{name} v1.30.0 token={mark}-version";;
  "label --local") echo '{{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {{"name": "some"}}}}';;
  "create cluster") echo "pulling with https://joe:{mark}-pull@mirror.example" >&2; echo "password: {mark}"; exit 1;;
esac
"""


def cluster_that_cannot_be_made(world: World) -> None:
    """Have tools say secrets that a run in containers uses, and fail."""
    for name in ("docker", "kind", "kubectl"):
        (world.programs / name).write_text(SAYING.format(name=name, mark=MARK))
        (world.programs / name).chmod(0o755)
    kind = ["--provider", "kind", *world.place.port_flags(), "--cluster", "boxed", "--verbose"]
    said = world.run(*kind, expect=1)
    assert "pulling with https://<hidden>@mirror.example" in said
    world.run("--resume", "--cluster", "boxed", "--output", "json", expect=1)
    world.run("diagnose", "--cluster", "boxed")
    world.run("logs", "cluster_create", "--cluster", "boxed")


def everything_is_done(world: World) -> None:
    """Do what users do, in good times and bad ones."""
    points = f"http://127.0.0.1:9/{MARK}-hook?key={MARK}-query\nmailto://joe:{MARK}-mail@example.invalid\n"
    world.run("notify", "set", stdin=points)
    flags = ["--provider", "host", *world.place.port_flags()]
    cluster_that_cannot_be_made(world)
    world.run("plan", *flags)
    world.run(*flags, "--verbose")
    world.run("--resume", "--output", "json", CONTEXTCORE_NOTIFY=f"json://127.0.0.1:9/{MARK}-of-environment")
    world.break_loki()
    world.run("--status", "--live", "--output", "json")
    world.run("--resume", "--verbose", expect=1)
    world.run("--resume", "--output", "json", expect=1)
    world.run("verify", "--output", "json", expect=1)
    world.run("diagnose")
    world.run("report", "-o", str(world.place.folder / "broken.html"))
    (world.programs / "loki.broken").unlink()
    world.run("--repair", "--yes", "--verbose")
    world.run("backup")
    world.run("notify", "show", "--output", "json")
    world.run("notify", "test", expect=1)
    world.run("state", "get", "pods_ready")
    for words in (["--status"], ["history"], ["logs", "pods_ready"], ["clusters", "--live"], ["verify"]):
        world.run(*words)
    world.run("report", "-o", str(world.place.folder / "whole.html"))


def contents(path: Path) -> bytes:
    """Return what a file holds, and what is packed into it."""
    data = path.read_bytes()
    if data[:2] != b"\x1f\x8b":
        return data
    data = gzip.decompress(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = [tar.extractfile(item) for item in tar if item.isreg()]
        return b"\n".join(member.read() for member in members if member)


def holding(world: World, secret: str) -> set[str]:
    """Return the files that hold a secret, of those that the program makes; programs keep their own logs."""
    home = world.place.home
    files = (path for path in home.rglob("*") if path.is_file() and not path.is_symlink())
    reports = world.place.folder.glob("*.html")
    own_logs = world.place.files / "host" / "logs"
    return {
        str(path.relative_to(world.place.folder))
        for path in [*files, *reports]
        if own_logs not in path.parents and secret.encode() in contents(path)
    }


@pytest.mark.slow
def test_a_secret_is_only_where_it_must_be(world: World, arguments: Arguments) -> None:
    everything_is_done(world)
    arguments.over.set()
    assert arguments.marked == set()
    said = "\n".join(world.said)
    assert MARK not in said, re.findall(f".*{MARK}.*", said)[:9]

    grafana = "home/clusters/test/host"
    assert holding(world, MARK) == {
        "home/notify.json",
        f"{grafana}/config/grafana/provisioning/alerting/contact-points.yaml",
    }
    password = (world.place.files / "host/data/secrets/grafana-admin").read_text().strip()
    assert password not in said
    (backup,) = (world.place.files / "backups").iterdir()
    assert holding(world, password) == {
        f"{grafana}/data/secrets/grafana-admin",
        str(backup.relative_to(world.place.folder)),
    }
    assert backup.stat().st_mode & 0o777 == 0o600
    for secret in (MARK, password):
        assert secret.encode() not in exported(world)
        for name in ("loki", "alloy", "grafana"):
            assert secret.encode() not in world.received(name)


def test_credentials_of_a_mirror_are_refused_and_not_repeated(installation: Installation) -> None:
    refused = installation.run("--provider", "kind", "--registry", f"joe:{MARK}@mirror.example/hub")
    assert refused.returncode == 2
    assert "without scheme and credentials" in refused.stderr
    assert MARK not in refused.stdout + refused.stderr
    assert not installation.home.exists()


def exported(world: World) -> bytes:
    """Return all that the metrics store has, once it shows what was sent."""
    url = f"http://127.0.0.1:{world.place.ports['mimir']}/api/v1/export?match[]={{__name__!=%22%22}}"

    def read() -> bytes:
        with urlopen(url, timeout=60) as answer:
            return bytes(answer.read())

    wait_until(lambda: b"contextcore_install_step_status" in read(), "the store shows nothing")
    assert b"run_finished" in world.received("loki")
    assert b"pods_ready" in world.received("alloy")
    return read()
