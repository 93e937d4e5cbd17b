"""--open: a run serves its own page, from its first second to its last. Nothing of it may delay or fail the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from contextcore_install.core.errors import InstallError
from contextcore_install.runtime.app import App


@contextmanager
def page_of_run(app: App, say: Callable[[str], None], mention: Callable[[str], None]) -> Iterator[None]:
    """Within the block, serve the page where it was asked for, and open it where there is a browser.

    `say` tells people where it is; `mention` tells them how to have it, beside what else there is to tell.
    """
    if not app.settings.open:
        mention(f"Page  {app.commands.on_record()('dashboard', '--open')}")
        yield
        return
    from contextcore_install.runtime.page.feed import PageFeed
    from contextcore_install.system.browser import open_in_browser
    from contextcore_install.system.page_server import PageServer

    feed = PageFeed(app)
    try:
        server = PageServer(feed.respond)
    except InstallError as error:
        app.stderr.write(f"note: {error.message}\n")
        yield
        return
    opened = open_in_browser(server.invitation, app.environ)
    where = f"Page  {server.url}" + ("" if opened else "  (there is no browser to open here)")
    if app.json:
        app.stderr.write(where + "\n")
    say(where)
    try:
        yield
    finally:
        feed.end()
        server.close()
