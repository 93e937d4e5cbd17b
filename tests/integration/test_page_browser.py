"""The page in a real browser: seen by axe, walked through by keyboard, live, wide, narrow and under attack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, expect

from contextcore_install.core.dataclass import replace
from contextcore_install.core.events import Kind
from contextcore_install.runtime.page.feed import PageFeed
from contextcore_install.system.page_server import PageServer
from kit.fakes import FakeProvider
from kit.page_world import EVIL, SCENES, Sight, Story, browser, complete, failed, killed, many

pytestmark = pytest.mark.slow

__all__ = ["browser"]

NARROW, WIDE = {"width": 320, "height": 640}, {"width": 1440, "height": 900}
LIMIT_MS = 60_000
"""How long something may take to be seen: what it takes is measured by the benchmarks, not here."""

FOCUSED = """() => {
  const { tagName, id, dataset } = document.activeElement;
  const name = [tagName, id, dataset.key].filter(Boolean).join(" ");
  return [name, getComputedStyle(document.activeElement).outlineStyle];
}"""


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


@contextmanager
def served(story: Story) -> Iterator[tuple[PageServer, PageFeed]]:
    feed = PageFeed(story.app())
    server = PageServer(feed.respond)
    try:
        yield server, feed
    finally:
        feed.end()
        server.close()


@contextmanager
def sight(browser: Browser, **options: object) -> Iterator[Sight]:
    context = browser.new_context(**{"viewport": WIDE, **options})  # type: ignore[arg-type]
    try:
        yield Sight(context.new_page())
    finally:
        context.close()


@pytest.mark.parametrize("scene", SCENES)
def test_every_scene_is_accessible_in_both_themes_fits_and_asks_nobody_else(
    browser: Browser, story: Story, scene: str
) -> None:
    SCENES[scene](story)
    alive = story.running() if scene == "running" else nullcontext()
    with alive, served(story) as (server, _), sight(browser, viewport=NARROW) as seen:
        page = seen.show(server.url)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

        assert over == 0
        assert page.evaluate("window.hurt") is None
        assert (seen.complaints, seen.elsewhere(server.url)) == ([], [])


def test_what_means_harm_is_shown_as_text(browser: Browser, story: Story) -> None:
    SCENES["hostile"](story)
    with served(story) as (server, _), sight(browser) as seen:
        page = seen.show(server.url)
        shown = page.inner_text("#problems-body")

        assert EVIL.partition("\x1b")[0] in shown
        assert page.locator("main img, main script, main b").count() == 0
        assert page.locator("main a:not([href^='http://127.0.0.1:'])").count() == 0


def test_what_happens_is_seen_while_it_happens_and_the_end_as_well(browser: Browser, story: Story) -> None:
    with served(story) as (server, feed), sight(browser) as seen:
        page = seen.show(server.url)
        expect(page.locator("#headline")).to_have_text("Nothing is installed yet")
        expect(page.locator("#link")).to_have_text("Connected", timeout=LIMIT_MS)
        expect(page.locator("#standing code")).to_have_text("./create-cluster.sh --cluster test")
        with story.running():
            story.begin()
            story.start("preflight")
            expect(page.locator("#headline")).to_have_text("Installing: Check the machine", timeout=LIMIT_MS)
            story.log("preflight", "a line that a command printed")
            expect(page.locator("pre.log")).to_contain_text("a line that a command printed", timeout=LIMIT_MS)
        expect(page.locator("#headline")).to_have_text("Ended unexpectedly", timeout=LIMIT_MS)
        expect(page.locator(".bar.cut")).to_have_count(1)
        feed.end()
        server.close()
        expect(page.locator("#link")).to_contain_text("The server has ended", timeout=LIMIT_MS)
        expect(page.locator("#headline")).to_have_text("Ended unexpectedly")


def test_the_page_leads_to_the_installation_in_grafana(browser: Browser, story: Story) -> None:
    SCENES["complete"](story)
    feed = PageFeed(replace(story.app(), create_provider=lambda *_: FakeProvider()))
    server = PageServer(feed.respond)
    try:
        with sight(browser) as seen:
            link = seen.show(server.url).locator("#where-body p a")
            expect(link).to_have_attribute("href", "http://127.0.0.1:10001/d/fake?var-cluster=fake", timeout=LIMIT_MS)
    finally:
        feed.end()
        server.close()


def test_everything_can_be_reached_by_keyboard_and_is_seen_to_be(browser: Browser, story: Story) -> None:
    failed(story)
    with served(story) as (server, _), sight(browser) as seen:
        page = seen.show(server.url)
        expect(page.locator("#link")).to_have_text("Connected", timeout=LIMIT_MS)
        reached: list[str] = []
        while not reached or reached[-1] != "BODY":
            page.keyboard.press("Tab")
            name, outline = page.evaluate(FOCUSED)
            assert name == "BODY" or outline != "none", name
            reached.append(name)
        wanted = page.locator("button:enabled:visible, select:visible, a[href]:visible, summary:visible, pre.log")
        assert len(reached) - 1 == wanted.count()
        page.locator(".skip").focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def test_what_has_the_focus_keeps_it_while_the_page_changes(browser: Browser, story: Story) -> None:
    failed(story)
    with served(story) as (server, _), sight(browser) as seen:
        page = seen.show(server.url)
        page.locator("#problems button").first.focus()
        key = page.evaluate("document.activeElement.dataset.key")
        story.add(Kind.NOTICE, text="something else")
        expect(page.locator("#timeline .remarks")).to_contain_text("something else", timeout=LIMIT_MS)

        assert page.evaluate("document.activeElement.dataset.key") == key


def test_the_theme_is_chosen_and_kept(browser: Browser, story: Story) -> None:
    with served(story) as (server, _), sight(browser, color_scheme="light") as seen:
        page = seen.show(server.url)
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        for _ in range(2):
            page.click("#theme")
        assert page.inner_text("#theme") == "Theme: dark"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
        page.reload()
        assert page.inner_text("#theme") == "Theme: dark"


def test_a_long_history_is_turned_and_an_old_run_shown(browser: Browser, story: Story) -> None:
    many(story, 1000)
    with served(story) as (server, _), sight(browser) as seen:
        page = seen.show(server.url)
        rows = page.locator("#history-body tbody tr")
        expect(rows).to_have_count(25)
        page.get_by_role("button", name="Oldest").click()
        expect(page.locator("#history-body .pager")).to_contain_text("976 to 1,000 of 1,000 runs", timeout=LIMIT_MS)
        page.get_by_role("button", name="Show run 1", exact=True).click()
        expect(page.locator("#history-run h3").first).to_contain_text("Run 1: resume")
        expect(page.locator("#history-run .bar")).to_have_count(6)
        page.get_by_role("button", name="Hide").click()
        expect(page.locator("#history-run article")).to_have_count(0)
        assert seen.complaints == []


def test_without_scripts_the_page_says_how_it_stands_and_what_to_type(browser: Browser, story: Story) -> None:
    killed(story)
    with served(story) as (server, _), sight(browser, java_script_enabled=False) as seen:
        seen.page.goto(server.url)
        shown = seen.page.inner_text("noscript")

        assert "Ended unexpectedly" in shown
        assert "./create-cluster.sh --resume" in shown


def test_a_report_is_the_same_page_from_a_file(browser: Browser, story: Story, tmp_path: Path) -> None:
    from contextcore_install.commands.page import report

    complete(story)
    file = tmp_path / "report.html"
    assert report(story.app("report", "-o", str(file))) == 0
    with sight(browser) as seen:
        page = seen.show(file.as_uri())
        expect(page.locator("#headline")).to_have_text("Complete")
        expect(page.locator("#timeline .bar.failed")).not_to_have_count(0)
        page.get_by_role("button", name="Show run 1", exact=True).click()
        expect(page.locator("#history-run h3").first).to_contain_text("Run 1: install")
        assert page.locator("#link").is_hidden()
        assert (seen.complaints, seen.elsewhere(file.as_uri())) == ([], [])
