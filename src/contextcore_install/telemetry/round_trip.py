"""One sample written and read back: whether the metrics store works for whoever uses it now."""

from __future__ import annotations

from contextcore_install.core.errors import InstallError
from contextcore_install.core.hints import REPAIR
from contextcore_install.telemetry.exporters.backends import probe
from contextcore_install.telemetry.exporters.client import Client, StoreError, Timeouts, as_install_error
from contextcore_install.telemetry.exporters.remote_write import send
from contextcore_install.telemetry.folds.metrics import PREFIX, Sample
from contextcore_install.telemetry.readback import absent_after_wait

NAME = PREFIX + "probe_timestamp"
VISIBLE_WITHIN_S = 3.0
"""How long a store may take to show what it has taken, in seconds."""


def round_trip(url: str, cluster: str, at_us: int) -> str:
    """Write when this was (Unix seconds, in whole milliseconds) and return how it came back.

    Raises InstallError: `metrics-store-…` where the store does not answer or refuses, `metric-lost` where it takes the
    sample and does not show it.
    """
    client, patience = Client(url), Timeouts(answer_s=3.0)
    at_ms = at_us // 1000
    sample = Sample(NAME, (("cluster", cluster),), at_ms / 1000, at_ms)
    try:
        backend = probe(client, patience)
        refused = send(client, backend.write_path, [sample], patience)
        if refused:
            raise _lost(f"{backend} refuses a sample of now", refused[0].reason)
        missing = absent_after_wait(client, backend, cluster, [sample], patience, VISIBLE_WITHIN_S, exact=True)
    except StoreError as error:
        raise as_install_error(error) from error
    finally:
        client.close()
    if missing:
        raise _lost(f"{backend} took a sample and does not show it", str(missing[0]))
    return f"{backend} took a sample of now and shows it"


def _lost(message: str, evidence: str) -> InstallError:
    return InstallError("metric-lost", message, evidence, REPAIR)
