"""bundle: everything that an installation needs, as one file for machines without a network; made, checked, listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contextcore_install.core.dataclass import asdict
from contextcore_install.core.errors import own, usage_error
from contextcore_install.runtime.app import App
from contextcore_install.runtime.interaction import cancellable, report_document, report_done
from contextcore_install.system.packages.bundle_file import BundleFile
from contextcore_install.ui.tables import render_bundle
from contextcore_install.ui.text import size

_SHOWN_EVERY_BYTES = 256 * 1024 * 1024


def bundle(app: App) -> int:
    arguments = app.settings.arguments
    action = arguments["action"]
    if action == "make":
        from contextcore_install.runtime.offline_bundle.making import make

        return make(app)
    if app.settings.given_flags:
        flag = app.settings.given_flags[0][0]
        raise usage_error(f"{flag} cannot be combined with bundle {action}", "the bundle says itself what it is for")
    if arguments["bundle"] is None:
        raise usage_error(f"bundle {action} needs the bundle", own("bundle", action, "FILE"))
    bundle = BundleFile.open(Path(arguments["bundle"]).expanduser().absolute())
    return _verify(app, bundle) if action == "verify" else _list(app, bundle)


def _verify(app: App, bundle: BundleFile) -> int:
    key, signer = app.settings.arguments["public_key"], None
    if key is not None:
        from contextcore_install.system.packages.bundle_signature import verify_signature

        signer = " ".join(verify_signature(bundle.manifest_bytes, bundle.signature, key).split())
    total, shown = size(bundle.manifest.bytes), 0
    with cancellable(app) as ctx:

        def progress(done: int) -> None:
            nonlocal shown
            ctx.raise_if_cancelled()
            if done - shown >= _SHOWN_EVERY_BYTES:
                shown = done
                ctx.activity(f"checking {bundle.path.name}: {size(done)} of {total}")

        bundle.verify(progress)
    count = len(bundle.manifest.entries)
    signed = "not signed"
    if bundle.signature:
        signed = "signed, which was not checked (--public-key KEY)" if signer is None else f"signed ({signer})"
    sentence = f"{bundle.path} is whole: {count} files, {total}, {signed}"
    facts = {"path": str(bundle.path), "bytes": bundle.manifest.bytes, "files": count}
    return report_done(app, sentence, **facts, signed=bool(bundle.signature), signature_checked=signer is not None)


def _list(app: App, bundle: BundleFile) -> int:
    manifest = bundle.manifest
    document: dict[str, Any] = {
        "path": str(bundle.path),
        "version": manifest.version,
        "created": manifest.created,
        "platform": manifest.platform,
        "providers": list(manifest.providers),
        "signed": bool(bundle.signature),
        "bytes": manifest.bytes,
        "entries": [asdict(entry) for entry in manifest.entries],
    }
    return report_document(app, "bundle/v1", document, lambda style: render_bundle(document, style))
