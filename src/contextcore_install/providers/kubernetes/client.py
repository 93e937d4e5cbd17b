"""Runs kubectl: always with its context, always bounded in time, and with errors that say what to do."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from contextcore_install.core.errors import InstallError
from contextcore_install.core.failures import DIAGNOSE
from contextcore_install.core.ports import StepContext
from contextcore_install.core.schema import SchemaError
from contextcore_install.diagnosis.failures import kubectl_failure
from contextcore_install.providers.kubernetes.admission import webhook_facts
from contextcore_install.providers.kubernetes.shapes import as_kubernetes_object
from contextcore_install.system.capture import Captured, Follower, capture, following, start_beside

#: Seconds for one request to the API server, for a read of many kinds, and for a command that changes something.
REQUEST_S, READ_S, COMMAND_S = 5, 10.0, 60.0
MANAGED = "--show-managed-fields"
"""Has kubectl (since 1.21) tell who set which field."""
# As the API says it (k8s.io/apiserver, responsewriters/errors.go)
_REFUSED = re.compile(r'cannot list resource "([^"]+)"')


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl for one context. `facts` fill the sentences of diagnosis/rules/kubectl.toml."""

    program: Callable[[], str]
    environ: Mapping[str, str]
    context: str
    facts: Mapping[str, str]

    def argv(self, *arguments: str, timeout: str = f"{REQUEST_S}s") -> list[str]:
        """Return the whole command."""
        return [self.program(), f"--context={self.context}", f"--request-timeout={timeout}", *arguments]

    def shown(self, *arguments: str) -> str:
        """Return the command as a person would type it."""
        return shlex.join(["kubectl", "--context", self.context, *arguments])

    def attempt(
        self, *arguments: str, stdin: str | None = None, ctx: StepContext | None = None, timeout_s: float = COMMAND_S
    ) -> Captured:
        """Run a command and return how it ended; raises InstallError where it does not end in time."""
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

    def items(self, *arguments: str, ctx: StepContext | None = None) -> list[dict[str, Any]]:
        """Return the objects of a `get`; but not those that this user may not read. Raises InstallError."""
        return self.readable(*arguments, ctx=ctx)[0]

    def readable(self, *arguments: str, ctx: StepContext | None = None) -> tuple[list[dict[str, Any]], frozenset[str]]:
        """Return the objects of a `get`, and of which resources this user may not read any. Raises InstallError."""
        done = self.attempt("get", *arguments, "-o", "json", "--ignore-not-found", ctx=ctx, timeout_s=READ_S)
        if done.exit_code != 0 and not (done.stdout.strip() and _only_forbidden(done.stderr)):
            raise self.failure(done)
        return items_of(done.stdout), frozenset(_REFUSED.findall(done.stderr))

    def watch(self, kind: str, *scope: str) -> AbstractContextManager[Follower]:
        """Start to watch a kind; see `tools.capture.following`."""
        arguments = ("get", kind, *scope, "--watch", "--output-watch-events", MANAGED, "-o", "json")
        return following(self.argv(*arguments, timeout="0"), environ=self.environ)

    def beside(self, *arguments: str) -> Follower:
        """Start a command that ends with this program."""
        return start_beside(self.argv(*arguments, timeout="0"), environ=self.environ)

    def failure(self, done: Captured) -> InstallError:
        """Return the error for a command that failed."""
        command, said = self.shown(*done.argv[3:]), done.stderr or done.stdout
        # What a command was given to read is not there to be given again.
        again = DIAGNOSE if "-" in done.argv else command
        facts = {**self.facts, "again": again, "kubectl": self.shown("-n", self.facts.get("namespace", ""))}
        if "webhook" in said:
            facts |= webhook_facts(self, said)
        return kubectl_failure(command, said.splitlines(), facts)


def items_of(text: str) -> list[dict[str, Any]]:
    """Return the objects in what kubectl printed as JSON, one document or several; lists are taken apart.

    Raises InstallError `kubectl-answer` for anything else.
    """
    decoder, documents, at = json.JSONDecoder(), [], 0
    text = text.strip()
    try:
        while at < len(text):
            document, at = decoder.raw_decode(text, at)
            documents.append(document)
            while at < len(text) and text[at].isspace():
                at += 1
        return [as_kubernetes_object(item) for document in documents for item in _listed(document)]
    except SchemaError as error:
        message = f"kubectl printed what Kubernetes does not: {error}."
        raise InstallError("kubectl-answer", message, text[:400], retryable=True) from error
    except (ValueError, RecursionError) as error:
        raise InstallError("kubectl-answer", "kubectl printed what is no JSON.", text[:400], retryable=True) from error


def _listed(document: Any) -> list[Any]:
    items = document.get("items") if isinstance(document, dict) else None
    return items if isinstance(items, list) else [document]


def _only_forbidden(stderr: str) -> bool:
    lines = [line for line in stderr.splitlines() if line.startswith("Error")]
    return bool(lines) and all("(Forbidden)" in line for line in lines)
