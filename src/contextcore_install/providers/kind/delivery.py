"""The stack's images on their way into a cluster, beside what the steps do meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from contextlib import nullcontext, suppress
from functools import partial

from contextcore_install.core.errors import InstallError
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.threads import OutlastingContext, start
from contextcore_install.providers.kind.images import LEFT_OVER_S, PULLS_AT_ONCE, Images, NodeImages, Refused
from contextcore_install.stack.catalogue import in_order_of_use

CONTAINERD_S, CONTAINERD_LOOK_S = 60.0, 0.5  # seconds for containerd to start in a new node, and between two looks
END_S = 15.0  # seconds for commands to end that were told to


class _OutOfTimeError(Exception):
    """The step that waits has no more time."""


class Delivery:
    """Pulls images, and loads each once it and nodes are there.

    For a new cluster it begins with that and goes on when it is made: what needs no image that is still on its way can
    be applied meanwhile. An image that cannot be had fails nothing: the nodes may be able to pull it.
    """

    def __init__(
        self, images: Images, wanted: Callable[[], Sequence[str]], ctx: StepContext, *, nodes_run: bool = False
    ) -> None:
        self._images = images
        self._ctx = OutlastingContext(ctx)
        self._nodes_run = threading.Event()
        if nodes_run:
            self.nodes_run()
        self._changed = threading.Condition()
        self._left: frozenset[str] | None = None  # not known before the manifests are read
        self._woken = 0
        self._ended = start(partial(self._deliver, wanted), "images")

    @property
    def is_under_way(self) -> bool:
        return not (self._ended.done() or self._ctx.is_cancelled)

    def nodes_run(self) -> None:
        """Have images loaded from now on."""
        self._nodes_run.set()

    def end(self, reason: str) -> None:
        """Have nothing loaded any more, and what is under way ended."""
        self._ctx.cancel(reason)
        wait([self._ended], END_S)

    def left(self, ctx: StepContext) -> Generator[frozenset[str], None, None]:
        """Yield which images are still on their way, whenever that has changed, until none is or the step's time is up.

        What happens meanwhile is reported to that step. Raises CancelledError.
        """
        seen: frozenset[str] | None = None
        part = ctx.part("images") if self._ctx.report_to(ctx) else nullcontext()
        with suppress(_OutOfTimeError), part, ctx.on_cancel(self._wake):
            while left := self._next(seen, ctx):
                yield left
                seen = left
            if self._left != frozenset():
                raise _OutOfTimeError  # so that the part is recorded as not done
            self._ended.result()

    def _next(self, seen: frozenset[str] | None, ctx: StepContext) -> frozenset[str]:
        """Return which images are on their way once these are others than those; none if time is up before."""
        with self._changed:
            ctx.raise_if_cancelled()
            woken, within_s = self._woken, max(0.0, ctx.remaining_s - LEFT_OVER_S)
            self._changed.wait_for(lambda: self._left not in (None, seen) or self._woken != woken, within_s)
            ctx.raise_if_cancelled()
            return self._left if self._left and self._left != seen else frozenset()

    def _wake(self) -> None:
        with self._changed:
            self._woken += 1
            self._changed.notify_all()

    def _now_left(self, images: frozenset[str]) -> None:
        with self._changed:
            self._left = images
            self._changed.notify_all()

    def _deliver(self, wanted: Callable[[], Sequence[str]]) -> None:
        refused: Refused = {}
        try:
            with self._ctx.part("images"):
                self._pull_and_load(in_order_of_use(wanted()), refused)
                if refused:
                    raise next(iter(refused.values()))  # so that the part is recorded as failed
        except InstallError as failed:
            self._ctx.raise_if_cancelled()
            for error in dict.fromkeys(refused.values()) or [failed]:
                self._ctx.notice(f"{error.message} The nodes pull what they lack, if they can.")
                self._ctx.output(error.evidence)
        finally:
            self._now_left(frozenset())

    def _pull_and_load(self, wanted: Sequence[str], refused: Refused) -> None:
        images, ctx = self._images, self._ctx
        self._now_left(frozenset(wanted))
        with ThreadPoolExecutor(PULLS_AT_ONCE) as pool:
            batches = [[image] for image in wanted] if images.may_pull else [wanted]
            pulls = {pool.submit(images.get, batch, ctx): batch for batch in batches}
            with ctx.on_cancel(self._nodes_run.set):
                self._nodes_run.wait()
            ctx.raise_if_cancelled()
            nodes = self._await_containerd()
            for pulled in as_completed(pulls):
                refused |= pulled.result() or images.load_lacking(pulls[pulled], ctx, nodes)
                self._now_left((self._left or frozenset()).difference(pulls[pulled]))

    def _await_containerd(self) -> list[NodeImages]:
        """Return the nodes as soon as their containerd answers, a moment after their start. Raises InstallError."""
        engine, until = self._images.engine, time.monotonic() + CONTAINERD_S
        for name in [node.name for node in engine.nodes(self._images.cluster) if node.is_member]:
            while engine.ask("exec", name, "ctr", "version").exit_code and time.monotonic() < until:
                self._ctx.wait(CONTAINERD_LOOK_S)
        self._ctx.raise_if_cancelled()
        return self._images.nodes()
