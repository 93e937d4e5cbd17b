"""Whom this user wants told: from the file or the environment, and to nobody who has no business with it."""

from __future__ import annotations

from collections.abc import Mapping

from contextcore_install.app import App
from contextcore_install.core.errors import InstallError
from contextcore_install.notify.contact_points import ENVIRONMENT, split_urls
from contextcore_install.storage.contact_file import ContactFile


def contact_urls(app: App) -> list[str]:
    """Return the URLs of the contact points, the environment's before those that were set; raises InstallError."""
    return split_urls(app.environ.get(ENVIRONMENT, "")) or ContactFile(app.home.contact_points).load()


def for_grafana(app: App) -> str:
    """Return the file that tells Grafana where to send alerts; empty where nothing was set that can be used.

    Those of the environment count for one invocation, and Grafana stays: it gets only those that were set.
    """
    from contextcore_install.notify.grafana import provisioning

    try:
        return provisioning(ContactFile(app.home.contact_points).load())
    except InstallError:
        return ""  # what is wrong with the file is told where messages are sent


def without_contact_points(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment for programs that we start: whom to notify is secret, and not their business."""
    return {name: value for name, value in environ.items() if name != ENVIRONMENT}
