"""The five components as upstream releases them, for a mirror on loopback: each answers its users as the real one does.

Mimir's stand-in hands over to a real metrics store. Loki, Tempo and Alloy keep and hand on what they are sent; Grafana
wants its password, and knows what it is provisioned with. Each reads its port from our configuration of it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import contextcore_install
from contextcore_install.system.packages.releases import Platform, releases
from kit.release_server import ReleaseServer, tarball, zipped
from kit.stores import program

PROGRAM = """#!{python} -S
import base64, configparser, glob, http.server, json, os, re, sys, threading, urllib.error, urllib.request
NAME, VERSION, STORE = "{name}", "{version}", "{store}"
if sys.argv[1:] in (["-version"], ["--version"], ["-v"]):
    print(VERSION)
    raise SystemExit
kept = []
def flag(name):
    return next(word.partition("=")[2] for word in sys.argv if word.startswith(name + "="))
def after(name):
    return sys.argv[sys.argv.index(name) + 1]
def answer(handler, status=200, document=None):
    text = json.dumps(document if document is not None else {{}}).encode()
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text)
def loki(handler, path, body):
    if path in ("/loki/api/v1/push", "/otlp/v1/logs"):
        kept.append(body)
        return answer(handler, 204)
    if path == "/ready" or path.startswith("/loki/api/v1/labels"):
        return answer(handler)
    if path.startswith("/loki/api/v1/query_range"):
        token = re.search(r"%7C%3D\\+%22(\\w+)%22", path)
        return answer(handler, 200, [text for text in kept if token and token[1] in text])
    answer(handler, 404)
def tempo(handler, path, body):
    if path == "/v1/traces":
        kept.append(body)
        return answer(handler)
    if path in ("/ready", "/api/echo"):
        return answer(handler)
    if path.startswith("/api/traces/"):
        found = [text for text in kept if path.rpartition("/")[2] in text]
        return answer(handler, 200 if found else 404, found)
    answer(handler, 404)
def alloy(handler, path, body):
    if path == "/-/ready":
        return answer(handler)
    if path not in ("/v1/traces", "/v1/logs", "/v1/metrics") or not body:
        return answer(handler, 405 if path.startswith("/v1/") else 404)
    def target(name):
        return re.search('exporter.otlp(?:http)? "%s".*?endpoint = "(?:http://)?([^"]+)"' % name, pipeline, re.S)[1]
    if path == "/v1/traces":
        url = target("traces") + path
    elif path == "/v1/logs":
        url = target("logs") + path
    else:
        url = re.search('url = "http://([^"/]+)', pipeline)[1] + "/api/v1/import/prometheus"
        scopes = json.loads(body)["resourceMetrics"][0]["scopeMetrics"]
        points = [(each["name"], point) for each in scopes[0]["metrics"] for point in each["gauge"]["dataPoints"]]
        body = "".join("%s %s\\n" % (name, point["asDouble"]) for name, point in points)
    urllib.request.urlopen(urllib.request.Request("http://" + url, body.encode()), timeout=5)
    answer(handler)
def grafana(handler, path, body):
    if path == "/api/health":
        return answer(handler)
    password = open(settings["security"]["admin_password"][len("$__file{{"):-1]).read()
    token = base64.b64encode(("admin:" + password).encode()).decode()
    if handler.headers.get("Authorization") != "Basic " + token:
        return answer(handler, 401)
    provisioning = settings["paths"]["provisioning"]
    sources = json.load(open(provisioning + "/datasources/contextcore.yaml"))["datasources"]
    if path == "/api/org":
        return answer(handler, 200, {{"id": 1}})
    if found := re.fullmatch("/api/datasources/uid/(\\\\w+)(/health)?", path):
        return answer(handler, 200 if any(each["uid"] == found[1] for each in sources) else 404)
    if found := re.fullmatch("/api/dashboards/uid/(.+)", path):
        folder = json.load(open(provisioning + "/dashboards/contextcore.yaml"))["providers"][0]["options"]["path"]
        there = [json.load(open(name)) for name in glob.glob(folder + "/*.json")]
        there = [each for each in there if each["uid"] == found[1]]
        return answer(handler, 200, {{"dashboard": there[0]}}) if there else answer(handler, 404)
    if path == "/api/v1/provisioning/alert-rules":
        files = [json.load(open(name)) for name in glob.glob(provisioning + "/alerting/*.json")]
        return answer(handler, 200, [rule for file in files for group in file["groups"] for rule in group["rules"]])
    answer(handler, 404)
if NAME == "alloy":
    pipeline = open(sys.argv[-1]).read()
    ports = [int(flag("--server.http.listen-addr").rpartition(":")[2])]
    ports += map(int, re.findall(r'endpoint = "127.0.0.1:(\\d+)"', pipeline)[:2])
elif NAME == "grafana":
    assert os.path.isfile(after("--homepath") + "/conf/defaults.ini")
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(after("--config"))
    ports = [int(settings["server"]["http_port"])]
else:
    config = json.load(open(flag("-config.file")))
    ports = [config["server"]["http_listen_port"]]
    if NAME == "mimir":
        data = config["blocks_storage"]["tsdb"]["dir"]
        os.execv(STORE, [STORE, "-storageDataPath=" + data, "-httpListenAddr=127.0.0.1:%d" % ports[0],
                         "-search.latencyOffset=0s", "-dedup.minScrapeInterval=1ms"])
    if NAME == "tempo":
        protocols = config["distributor"]["receivers"]["otlp"]["protocols"].values()
        ports += [int(each["endpoint"].rpartition(":")[2]) for each in protocols]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        globals()[NAME](self, self.path, body)
    do_POST = do_GET
servers = [http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) for port in ports]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
"""
VERSIONS = {
    "mimir": "Mimir, version 3.1.1 (branch: HEAD, revision: 1)",
    "loki": "loki, version 3.7.6 (branch: HEAD, revision: 1)",
    "tempo": "tempo, version 3.0.3 (branch: HEAD, revision: 1)",
    "alloy": "alloy, version v1.18.0 (branch: HEAD, revision: 1)",
    "grafana": "grafana version 13.2.3",
}


def publish(upstream: ReleaseServer, *names: str) -> None:
    """Have a server offer components in the form of upstream's releases."""
    for name in names:
        upstream.publish(name, release_file(name))


def release_file(name: str) -> bytes:
    """Return a component's file in the form of upstream's release."""
    release, here = releases()[name], Platform.here()
    text = PROGRAM.format(
        python=sys.executable, name=name, version=VERSIONS[name], store=program("victoria-metrics")
    ).encode()
    if release.is_tree:
        tree = {"bin/grafana": text, "conf/defaults.ini": b"", "public/index.html": b""}
        return tarball({f"grafana-{release.version}/{path}": content for path, content in tree.items()})
    pack = zipped if release.file.endswith(".zip") else tarball
    return pack({release.program_in_archive(here): text}) if release.is_archive else text


def package_without_digests(folder: Path) -> Path:
    """Return a folder with the program's package that takes the sums a server publishes for all of its files."""
    source = Path(contextcore_install.__file__).parent
    shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / source.name / "system/packages/digests.toml").write_text("")
    return folder
