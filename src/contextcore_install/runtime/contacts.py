"""Whom this user wants told: from the file or the environment, and to nobody who has no business with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from contextcore_install.core.errors import InstallError
from contextcore_install.core.events import second
from contextcore_install.engine.outcome import Outcome
from contextcore_install.engine.state import COMPLETED
from contextcore_install.notify.contact_points import ENVIRONMENT, split_urls
from contextcore_install.runtime.app import App
from contextcore_install.storage.contact_file import ContactFile, Withdrawn
from contextcore_install.storage.state_file import load_state


def contact_urls(app: App) -> list[str]:
    """Return the URLs of the contact points, the environment's before those that were set; raises InstallError."""
    return split_urls(app.environ.get(ENVIRONMENT, "")) or ContactFile(app.home.contact_points).load()


def for_grafana(app: App) -> str:
    """Return the file that tells Grafana where to send alerts, or to do so no longer; empty if there is no need.

    Those of the environment count for one invocation, and Grafana stays: it gets only those that were set.
    """
    from contextcore_install.notify.grafana import RESET_POLICY, provisioning

    file = ContactFile(app.home.contact_points)
    try:
        given = provisioning(file.load())
        to_take_back = app.settings.cluster in file.withdrawn().clusters
    except InstallError:
        return ""  # what is wrong with the file is told where messages are sent
    return given or (RESET_POLICY if to_take_back else "")


def replace_contact_points(app: App, urls: Sequence[str]) -> Withdrawn:
    """Set contact points, or none; return from which clusters' Grafana next runs take theirs. Raises InstallError."""
    from contextcore_install.notify.grafana import provisioning

    file = ContactFile(app.home.contact_points)
    try:
        given, withdrawn = bool(provisioning(file.load())), file.withdrawn()
    except InstallError:
        given, withdrawn = True, Withdrawn()  # a file that cannot be used now may have been of use before
    if given:
        withdrawn = Withdrawn(second(app.clock.now_us()), _clusters(app))
    if provisioning(urls):
        withdrawn = Withdrawn()
    if urls or withdrawn.clusters:
        file.save(urls, withdrawn)
    else:
        file.remove()
    return withdrawn


def note_taken_back(app: App) -> None:
    """Forget, before a run, what an earlier one has taken from Grafana: its policy is the user's from now on."""
    file, cluster = ContactFile(app.home.contact_points), app.settings.cluster
    try:
        withdrawn = file.withdrawn()
        if cluster not in withdrawn.clusters or not _installed_since(app, withdrawn.at):
            return
        left = tuple(name for name in withdrawn.clusters if name != cluster)
        urls = file.load()
        if urls or left:
            file.save(urls, Withdrawn(withdrawn.at, left))
        else:
            file.remove()
    except (InstallError, ValueError):
        return  # what is wrong with the files is told by those who need them


def _installed_since(app: App, at: str) -> bool:
    stored = load_state(app.layout.state)
    if stored is None:
        return False
    run, steps = stored.state.run, stored.state.planned.values()
    complete = run.outcome == Outcome.SUCCEEDED and all(step.status == COMPLETED for step in steps)
    return complete and run.started_at > at


def _clusters(app: App) -> tuple[str, ...]:
    try:
        return tuple(sorted(entry.name for entry in app.home.clusters.iterdir()))
    except OSError:
        return ()


def without_contact_points(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment for programs that we start: whom to notify is secret, and not their business."""
    return {name: value for name, value in environ.items() if name != ENVIRONMENT}
