"""The page: how soon it is there, how soon it shows what happens, and what a long history costs."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from measure import FOLDER, ROOT, environment
from report import Row, Section

sys.path.append(str(ROOT / "tests"))

RUNS_KEPT, EVENTS = 1_000, 9_000
PAINT_MOST_MS, SEEN_MOST_MS, TURN_MOST_MS = 500.0, 1_000.0, 100.0

_PROGRAM = "import sys; from contextcore_install.__main__ import main; raise SystemExit(main())"
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
_WATCH = """() => {
  window.seen = {};
  new MutationObserver(() => {
    const last = document.querySelector("#timeline .remarks")?.lastChild?.textContent;
    if (last && !(last in window.seen)) window.seen[last] = Date.now();
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""
_SEEN = "(words) => Object.entries(window.seen).find(([one]) => one.endsWith(words))?.[1]"
_CLICK = """async ([words, place]) => {
  const before = document.querySelector(place).textContent;
  const began = performance.now();
  [...document.querySelectorAll("#history button")].find((one) => (one.ariaLabel || one.textContent) === words).click();
  while (document.querySelector(place).textContent === before) await new Promise((next) => setTimeout(next));
  await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
  return performance.now() - began;
}"""


def works() -> bool:
    """Whether there is a browser to measure with."""
    import pytest

    from kit.page_world import chromium

    with suppress(pytest.skip.Exception):
        return bool(chromium())
    return False


def measure(runs: int) -> Section:
    """Measure the page of a short and of a long history, as `dashboard` serves it."""
    from playwright.sync_api import sync_playwright

    from kit.page_world import _FLAGS, Story, chromium, complete, many

    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="page-", dir=FOLDER) as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(_FLAGS), timeout=90_000)
        short, long = Story(Path(folder) / "short"), Story(Path(folder) / "long")
        complete(short)
        many(long, RUNS_KEPT)
        taken["address"] = [address_ms(short.home) for _ in range(runs + 1)][1:]
        for name, story in (("short", short), ("long", long)):
            with served(story.home) as (url, _):
                paints = [painted(browser, url) for _ in range(runs + 1)][1:]
                taken[f"{name} paint"], taken[f"{name} cpu"] = (list(times) for times in zip(*paints, strict=True))
                story.begin(RUNS_KEPT + 1)
                with story.running():
                    taken[f"{name} seen"] = list(seen(browser, url, story, runs))
        with served(long.home) as (url, _):
            page = browser.new_page()
            page.goto(url)
            taken["turn"] = [page.evaluate(_CLICK, ["Older", "#history-body"]) for _ in range(runs)]
            shown = ["Show run 1", "#history-run"]
            page.evaluate(_CLICK, ["Oldest", "#history-body"])
            taken["show"] = [page.evaluate(_CLICK, shown), *([] if runs < 2 else again(page, shown, runs - 1))]
        browser.close()
    return _section({name: statistics.median(found) for name, found in taken.items()}, runs)


def again(page: object, shown: list[str], runs: int) -> Iterator[float]:
    """Hide a run and show it anew."""
    for _ in range(runs):
        page.evaluate(_CLICK, ["Hide", "#history-run"])  # type: ignore[attr-defined]
        yield page.evaluate(_CLICK, shown)  # type: ignore[attr-defined]


def address_ms(home: Path) -> float:
    """Return the milliseconds from starting `dashboard` to its address."""
    with served(home) as (_, taken_ms):
        return taken_ms


@contextmanager
def served(home: Path) -> Iterator[tuple[str, float]]:
    """Run `dashboard`; yield its address, and the milliseconds until it was printed."""
    began = time.perf_counter()
    variables = {"CONTEXTCORE_HOME": str(home), "CONTEXTCORE_CLUSTER": "test"}
    with subprocess.Popen(
        [sys.executable, "-S", "-c", _PROGRAM, "dashboard", "--output", "json"],
        env=environment(variables) | {"PYTHONPATH": f"{ROOT / 'src'}:{environment({})['PYTHONPATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            url = json.loads(process.stdout.readline())["url"]
            yield url, (time.perf_counter() - began) * 1e3
        finally:
            process.terminate()


def painted(browser: object, url: str) -> tuple[float, float]:
    """Return the milliseconds from asking for the page to its first paint, and the CPU time of the page's main thread.

    The browser has no cache.
    """
    context = browser.new_context()  # type: ignore[attr-defined]
    page = context.new_page()
    tools = context.new_cdp_session(page)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(url)
    page.wait_for_selector("html[data-drawn]")
    page.wait_for_function(_PAINT)
    painted_ms: float = page.evaluate(_PAINT)
    told = {metric["name"]: metric["value"] for metric in tools.send("Performance.getMetrics")["metrics"]}
    context.close()
    return painted_ms, told["TaskDuration"] * 1e3


def seen(browser: object, url: str, story: object, runs: int) -> Iterator[float]:
    """Yield the milliseconds from an event in the journal to its words on the page."""
    from contextcore_install.core.events import Kind

    context = browser.new_context()  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#link:text-is('Connected')")
    page.evaluate(_WATCH)
    for number in range(runs):
        time.sleep(0.05 + 0.037 * (number % 7))  # at any moment between two looks
        began = time.time() * 1e3
        story.add(Kind.NOTICE, text=f"event number {number}")  # type: ignore[attr-defined]
        page.wait_for_function(_SEEN, arg=f"event number {number}")
        yield page.evaluate(_SEEN, f"event number {number}") - began
    context.close()


def _section(median: dict[str, float], runs: int) -> Section:
    def row(what: str, name: str, most_ms: float = 0.0) -> Row:
        figure = f"{median[name]:.0f} ms"
        if not most_ms:
            return Row(what, figure)
        return Row(what, figure, "", f"< {most_ms:.0f} ms", median[name] < most_ms)

    return Section(
        "The page",
        [
            row("first paint", "short paint", PAINT_MOST_MS),
            row("first paint, 1,000 runs in the history", "long paint", PAINT_MOST_MS),
            row("CPU time of the page's main thread until then", "short cpu"),
            row("the same, 1,000 runs in the history", "long cpu"),
            row("from an event in the journal to its words on the page", "short seen", SEEN_MOST_MS),
            row("the same, 1,000 runs in the history", "long seen", SEEN_MOST_MS),
            row("to turn to older runs, of 1,000", "turn", TURN_MOST_MS),
            row("to show the first run, of 1,000", "show", TURN_MOST_MS),
            row("from typing `dashboard` to its address", "address"),
        ],
        f"{runs} times each, in headless Chromium with nothing cached, `dashboard` in a process of its own. The first\n"
        "paint is the first-contentful-paint that the browser tells, from its asking for the page. 1,000 runs are\n"
        f"{EVENTS:,} events. Turning and showing last from the click to the frame after the change, with the question\n"
        "to the server.",
    )
