"""Runs kubectl, always with its context and bounded in time, and reads with it what the checks share."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import InstallError
from contextcore_install.core.findings import DIAGNOSE
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.schema import SchemaError
from contextcore_install.core.ttl_cache import TtlCache
from contextcore_install.diagnosis.failures import kubectl_failure
from contextcore_install.providers.kubernetes.objects import API, FIELD_MANAGER, Key, Manifest, Release
from contextcore_install.system.process import Captured, Follower, capture

#: Seconds for one request to the API server, for a read of many kinds, and for a command that changes something.
REQUEST_S, READ_S, COMMAND_S = 5, 10.0, 60.0
MANAGED = "--show-managed-fields"  # who set which field; since kubectl 1.21
APPLY = ("apply", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}")
# As the API says it (k8s.io/apiserver, responsewriters/errors.go)
_REFUSED = re.compile(r'cannot list resource "([^"]+)"')
_WEBHOOK = re.compile(r'webhook "([^"]+)"', re.IGNORECASE)
_WEBHOOKS = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
#: Seconds for which what was read counts, unless something was changed: as long as the checks of a run take.
READ_FRESH_S, CLASSES_FRESH_S, EVENTS_FRESH_S = 3.0, 5.0, 10.0


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl for one context. `facts` fill the sentences of diagnosis/rules/kubectl.toml."""

    program: Callable[[], str]
    environ: Mapping[str, str]
    context: str
    facts: Mapping[str, str]

    def argv(self, *arguments: str, timeout: str = f"{REQUEST_S}s") -> list[str]:
        return [self.program(), f"--context={self.context}", f"--request-timeout={timeout}", *arguments]

    def shown(self, *arguments: str) -> str:
        return shlex.join(["kubectl", "--context", self.context, *arguments])

    def attempt(
        self, *arguments: str, stdin: str | None = None, ctx: StepContext | None = None, timeout_s: float = COMMAND_S
    ) -> Captured:
        """Run a command and return how it ended; raises InstallError if it does not end in time."""
        try:
            return capture(self.argv(*arguments), environ=self.environ, timeout_s=timeout_s, stdin=stdin, ctx=ctx)
        except InstallError as error:
            if error.code != "command-timeout":
                raise
            raise kubectl_failure(self.shown(*arguments), ["context deadline exceeded"], self.facts) from error

    def call(
        self, *arguments: str, stdin: str | None = None, ctx: StepContext | None = None, timeout_s: float = COMMAND_S
    ) -> str:
        """Run a command and return what it printed; raises the InstallError that says why it failed."""
        done = self.attempt(*arguments, stdin=stdin, ctx=ctx, timeout_s=timeout_s)
        if ctx is not None:
            for line in (*done.stdout.splitlines()[:200], *done.stderr.splitlines()[:50]):
                ctx.output(line)
        if done.exit_code != 0:
            raise self.failure(done)
        return done.stdout

    def items(self, *arguments: str, ctx: StepContext | None = None) -> list[Manifest]:
        """Return the objects of a `get`, without those that this user may not read. Raises InstallError."""
        return self.readable(*arguments, ctx=ctx)[0]

    def items_if_readable(self, *arguments: str) -> list[Manifest]:
        """Return the objects of a `get`; none if they cannot be read."""
        try:
            return self.items(*arguments)
        except InstallError:
            return []

    def readable(self, *arguments: str, ctx: StepContext | None = None) -> tuple[list[Manifest], frozenset[str]]:
        """Return the objects of a `get`, and the resources that this user may not list. Raises InstallError."""
        done = self.attempt("get", *arguments, "-o", "json", "--ignore-not-found", ctx=ctx, timeout_s=READ_S)
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
        is_partial = done.stdout.strip() and errors and all("(Forbidden)" in line for line in errors)
        if done.exit_code != 0 and not is_partial:
            raise self.failure(done)
        return items_of(done.stdout), frozenset(_REFUSED.findall(done.stderr))

    def follow(self, *arguments: str) -> Follower:
        """Start a command that goes on printing, and ends with this program."""
        return Follower(self.argv(*arguments, timeout="0"), self.environ)

    def delete_unchanged(self, resource: str, item: Manifest, ctx: StepContext, **options: int) -> Captured:
        """Delete an object only if it still is as it was read."""
        key, seen = item.key, {name: item.metadata.get(name, "") for name in ("uid", "resourceVersion")}
        document = {"apiVersion": "v1", "kind": "DeleteOptions", **options, "preconditions": seen}
        path = f"/api/v1/namespaces/{key.namespace}/{resource}/{key.name}"
        return self.attempt("delete", "--raw", path, "-f", "-", stdin=json.dumps(document), ctx=ctx)

    def failure(self, done: Captured) -> InstallError:
        command, said = self.shown(*done.argv[3:]), done.stderr or done.stdout
        # A command that read from stdin cannot simply be repeated.
        again = DIAGNOSE if "-" in done.argv else command
        facts = {**self.facts, "again": again, "kubectl": self.shown("-n", self.facts.get("namespace", ""))}
        if "webhook" in said:
            facts |= self.webhook_facts(said)
        return kubectl_failure(command, said.splitlines(), facts)

    def webhook_facts(self, said: str) -> dict[str, str]:
        """Return what rules need about the webhook in a message: whose it is, and how to look at and remove it."""
        named = _WEBHOOK.findall(said)[:1]
        for item in self.items_if_readable(_WEBHOOKS) if named else ():
            if any(hook.get("name") in named for hook in item.get("webhooks") or []):
                kind, _, name = item.key
                return {
                    "of_configuration": f" of the {kind} {name}",
                    "webhook_look": self.shown("describe", kind.lower(), name),
                    "webhook_removal": self.shown("delete", kind.lower(), name),
                }
        look = self.shown("get", _WEBHOOKS)
        return {"of_configuration": "", "webhook_look": look, "webhook_removal": look}


def items_of(text: str) -> list[Manifest]:
    """Return the objects in kubectl's JSON output, lists flattened; raises `kubectl-answer` for anything else."""
    decoder, documents, text = json.JSONDecoder(), [], text.strip()
    try:
        while text:
            document, end = decoder.raw_decode(text)
            items = document.get("items") if isinstance(document, dict) else None
            documents += items if isinstance(items, list) else [document]
            text = text[end:].lstrip()
        return [Manifest.checked(item) for item in documents]
    except SchemaError as error:
        message = f"kubectl printed what Kubernetes does not: {error}."
    except (ValueError, RecursionError):
        message = "kubectl printed what is no JSON."
    raise InstallError("kubectl-answer", message, text[:400], retryable=True)


class Snapshot:
    """What a cluster holds, by key. `unseen` names the namespaces that this user may not look at."""

    def __init__(self, items: Iterable[Mapping[str, Any]], unseen: Iterable[str] = ()) -> None:
        self.by_key = {item.key: item for item in map(Manifest, items)}
        self.unseen = frozenset(unseen)

    def get(self, key: Key) -> Manifest | None:
        """Return an object, or None. Of kinds that we do not know, some have no namespace."""
        return self.by_key.get(key) or self.by_key.get(Key(key.kind, "", key.name))

    def of_kind(self, kind: str) -> list[Manifest]:
        return [item for key, item in self.by_key.items() if key.kind == kind]


class Reader:
    """Reads what a cluster holds of a release, and caches it for a moment. Safe to use from several threads."""

    def __init__(self, kubectl: Kubectl, render: Callable[[], Release], *, owns_nodes: bool = True) -> None:
        self.kubectl = kubectl
        self.owns_nodes = owns_nodes
        self._render = render
        self._lock = threading.Lock()
        self._release: Release | None = None
        self._shared = TtlCache(self._ask, READ_FRESH_S)
        self._is_quick, self._is_silent = owns_nodes, False
        #: As far as this user may read them.
        self.nodes = TtlCache(lambda: kubectl.items_if_readable("nodes"))
        self.storage_classes = TtlCache(lambda: kubectl.items_if_readable("storageclasses"), CLASSES_FRESH_S)
        self._events: dict[str, TtlCache[list[Manifest]]] = {}
        #: What is made of what was read, and forgotten with it.
        self.derived: list[TtlCache[Any]] = []

    def release(self) -> Release:
        """Return the release, rendered once. Raises InstallError."""
        with self._lock:
            self._release = self._release or self._render()
            return self._release

    def namespaces(self) -> Sequence[str]:
        """Return the release's namespaces; none if it cannot be rendered: its manifests may not be on this machine."""
        try:
            return self.release().namespaces
        except InstallError:
            return ()

    def read(self, *, fresh: bool = False) -> Snapshot:
        """Return what the cluster holds in the release's namespaces. Raises InstallError."""
        return self._shared.read(fresh=fresh)

    def forget(self) -> None:
        """Have the next read ask the cluster, as something was changed."""
        for cache in (self._shared, *self.derived):  # in this order: what is derived at this moment may be of the old
            cache.forget()

    def scope(self) -> tuple[str, ...]:
        namespaces = self.release().namespaces
        return ("--namespace", namespaces[0]) if len(namespaces) == 1 else ("--all-namespaces",)

    def _ask(self) -> Snapshot:
        resources = {item.resource: not item.key.namespace for item in self.release().objects}
        try:
            return self._read_kinds(resources)
        except InstallError as error:
            if error.code != "manifest-unknown-kind":
                raise
        return self._read_kinds({})  # what defines a kind may be part of the release, and not be applied yet

    def _read_kinds(self, resources: Mapping[str, bool]) -> Snapshot:
        without_namespace = {**resources, "node": True, "namespace": True}
        kinds = dict.fromkeys([*(API["read_of_own_nodes"] if self.owns_nodes else ()), *API["read_always"], *resources])
        ordered = sorted(kinds, key=lambda kind: not without_namespace.get(kind))
        if (found := self._quickly(ordered, without_namespace)) is not None:
            return Snapshot(found)
        # Until this succeeds, the quick way is not tried again: each time, it would wait in vain for an API that hangs.
        was_silent, self._is_silent = self._is_silent, True
        items, refused = self.kubectl.readable(",".join(ordered), *self.scope(), MANAGED)
        self._is_silent = False
        self._is_quick &= was_silent  # else the API answers, and only the quick way does not work here
        unseen = []
        # Who has rights in a namespace may not list them all, but perhaps look at that one.
        for name in self.release().namespaces if "namespaces" in refused else ():
            try:
                items += self.kubectl.items("namespace", name, MANAGED)
            except InstallError as error:
                if error.code != "api-forbidden":
                    raise
                unseen.append(name)
        return Snapshot(items, unseen)

    def _quickly(self, kinds: Sequence[str], without_namespace: Mapping[str, bool]) -> list[Manifest] | None:
        """Return the objects of kinds, if they are Kubernetes' own and can be read in the quick way."""
        known = {*API["read_of_own_nodes"], *API["read_always"]}
        scope = self.scope()
        if not self._is_quick or self._is_silent or len(scope) < 2 or not known.issuperset(kinds):
            return None
        from contextcore_install.providers.kubernetes.quick_read import read_lists

        return read_lists(self.kubectl, kinds, without_namespace, scope[1])

    def events(self, uid: str, namespace: str) -> list[tuple[str, str]]:
        """Return reason and message of an object's events, oldest first; none if they cannot be read."""
        ask = partial(self.kubectl.items_if_readable, "events", "-n", namespace)
        items = self._events.setdefault(namespace, TtlCache(ask, EVENTS_FRESH_S)).read()
        about = [item for item in items if item.get("involvedObject", {}).get("uid") == uid]
        return [(str(item.get("reason", "")), str(item.get("message", ""))) for item in sorted(about, key=_when)]

    def last_event(self, uid: str, namespace: str) -> tuple[str, str]:
        events = self.events(uid, namespace)
        return events[-1] if events else ("", "")


def _when(event: Manifest) -> tuple[str, bool]:
    """Return what orders events: those of one second by whether they warn."""
    moment = event.get("lastTimestamp") or event.get("eventTime") or ""
    return str(moment)[:19], event.get("type") == "Warning"
