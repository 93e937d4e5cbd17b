"""Gathers everything that an installation needs, several things at once, and writes it into one file."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from contextcore_install import __version__
from contextcore_install.cli.grammar import PROVIDER_OPTIONS
from contextcore_install.core.dataclass import dataclass
from contextcore_install.core.errors import CancelledError, ExitCode, InstallError, own, usage_error
from contextcore_install.core.interfaces import StepContext
from contextcore_install.core.threads import child_context
from contextcore_install.engine.state import State
from contextcore_install.runtime.app import App
from contextcore_install.runtime.interaction import cancellable, report_done
from contextcore_install.runtime.offline_bundle.contents import Releases, program_files, program_parts, wheel_parts
from contextcore_install.runtime.output_file import STANDARD_OUTPUT, chosen_file
from contextcore_install.runtime.selection import choose_provider
from contextcore_install.stack.catalogue import ALL, COMPONENTS, chosen_components
from contextcore_install.storage.backup.archive import there_already
from contextcore_install.storage.files import unusable
from contextcore_install.storage.home import make_home
from contextcore_install.system.files import discard, sync_folder
from contextcore_install.system.lock import held, work_folder
from contextcore_install.system.packages.bundle_format import TIME, BundleManifest, Part, Sign, write_bundle
from contextcore_install.system.packages.download import Upstream
from contextcore_install.system.packages.releases import Platform, releases
from contextcore_install.system.programs import ToolBox
from contextcore_install.ui.text import size

AT_ONCE = 4  # registries and home networks dislike more
WORK = ".contextcore-bundle-"
WITH_IMAGES = ("kind", "kube-context")
TOOLS: Mapping[str, Sequence[str]] = {"kind": ("kind", "kubectl"), "kube-context": ("kubectl",), "host": ()}

_Task = Callable[[StepContext], Sequence[Part]]
"""Gets parts; raises InstallError."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a bundle is made for; `options` are the provider's, `program` are the program's files by their places."""

    provider: str
    platform: Platform
    options: Mapping[str, Any]
    program: Mapping[str, Path]
    target: Path


def make(app: App) -> int:
    plan, sign = _planned(app), _signer(app)
    with cancellable(app) as ctx, _writing(plan.target), work_folder(plan.target.parent, WORK) as folder:
        draft = folder / "bundle"
        with _downloads_alone(app, ctx) as downloads, ExitStack() as stack:
            parts = program_parts(plan.program) + _gather(_tasks(app, plan, ctx, stack, (folder, downloads)), ctx)
            ctx.activity(f"writing {plan.target}")
            created, platform = time.strftime(TIME, time.gmtime(app.clock.now_us() // 1_000_000)), plan.platform
            about = BundleManifest(__version__, created, platform.system, platform.machine, (plan.provider,), ())
            manifest = write_bundle(draft, about, parts, sign)
        ctx.raise_if_cancelled()
        if os.path.lexists(plan.target) and not app.settings.yes:
            raise there_already(plan.target)
        draft.replace(plan.target)
        sync_folder(plan.target.parent)
    count, total = len(manifest.entries), plan.target.stat().st_size
    what = f"all that an installation on {plan.provider} needs, for {manifest.platform}"
    sentence = f"{plan.target} holds {what} ({count} files, {size(total)})"
    return report_done(app, sentence, path=str(plan.target), bytes=total, files=count, signed=sign is not None)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Within the block, turn Ctrl-C and what the disk refuses into one error; a closed standard output is neither."""
    try:
        yield
    except CancelledError as error:
        message = f"interrupted; {target} was not made, and what was downloaded for it is kept"
        raise InstallError(
            "interrupted", message, hint="type the same command again", exit_code=ExitCode.INTERRUPTED
        ) from error
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unusable(target, error) from error


def _planned(app: App) -> _Plan:
    """Return what is asked for; raises a usage error."""
    arguments = app.settings.arguments
    if arguments["file"] is None:
        raise usage_error("it is not said where the bundle is to be written", own("bundle", "-o", "stack.tar"))
    if arguments["file"] == STANDARD_OUTPUT:
        raise usage_error(
            "a bundle is not written to standard output: what is known last stands first in it", "name a file"
        )
    provider = choose_provider(app, State(app.settings.cluster))[0]
    for name in app.settings.options:
        if provider not in (WITH_IMAGES if name == "pull" else PROVIDER_OPTIONS[name].providers):
            raise usage_error(f"{PROVIDER_OPTIONS[name].name} cannot be combined with --provider {provider}")
    options = {**app.settings.environment_options, **app.settings.options}
    chosen = arguments["platform"]
    platform = Platform(*chosen.split("/")) if chosen else Platform.here()
    target = chosen_file(app, f"contextcore-install-{__version__}-{provider}-{platform}.tar")
    assert target is not None
    return _Plan(provider, platform, options, program_files(), target)


def _signer(app: App) -> Sign | None:
    key, password_file = app.settings.arguments["sign_key"], app.settings.arguments["password_file"]
    if key is None:
        if password_file is not None:
            raise usage_error("--password-file needs the key that it is for", "add --sign-key FILE")
        return None
    from contextcore_install.system.packages.bundle_signature import read_signer

    def password() -> str:
        if password_file is not None:
            return _first_line(Path(password_file).expanduser())
        if not app.stdin.isatty():
            raise usage_error(f"{key} is encrypted, and its password was not given", "add --password-file FILE")
        from getpass import getpass

        try:
            return getpass(f"The password of {key}: ")
        except EOFError:
            raise usage_error(f"no password of {key} was typed", "add --password-file FILE") from None

    return read_signer(Path(key), password)


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline().rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "it is not UTF-8").lower()
        raise usage_error(f"{path} cannot be read: {reason}") from error


@contextmanager
def _downloads_alone(app: App, ctx: StepContext) -> Iterator[Path]:
    """Give the folder of downloads for bundles, where an interrupted one is continued; another maker is waited for."""
    make_home(app.home)
    folder = app.home.folder / "downloads" / "bundles"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def wait() -> None:
        ctx.activity("waiting: another bundle is being made here")
        ctx.wait(0.5)

    with held(folder / "lock", wait):
        yield folder
        for path in folder.glob("*-*"):  # also what an older version was interrupted in
            discard(path)


def _tasks(app: App, plan: _Plan, ctx: StepContext, stack: ExitStack, folders: tuple[Path, Path]) -> list[_Task]:
    """Return what gets the parts, in the order in which they will stand in the bundle."""
    work, downloads = folders
    box = ToolBox(app.environ, app.home.bin, downloads / "tools.json")
    source = Upstream(app.environ, str(plan.options.get("mirror", "")))
    upstream = Releases(source, plan.platform, downloads, box)
    tasks: list[_Task] = [partial(wheel_parts, plan.program["requirements.lock"], plan.platform, work)]
    wanted = [("tool", name) for name in TOOLS[plan.provider]]
    if plan.provider == "host":
        names = chosen_components(str(plan.options.get("components", ALL)))
        wanted += [("release", item.name) for item in COMPONENTS if item.name in names]
    tasks += [partial(upstream.parts, kind, releases()[name]) for kind, name in wanted]
    if plan.provider in WITH_IMAGES:
        tasks += _image_tasks(box, plan, ctx, stack)
    return tasks


def _image_tasks(box: ToolBox, plan: _Plan, ctx: StepContext, stack: ExitStack) -> list[_Task]:
    from contextcore_install.providers.kind.cluster import NODE_IMAGE
    from contextcore_install.providers.kind.engine import choose_engine
    from contextcore_install.runtime.offline_bundle.images import ImageArchives

    registry, may_pull = str(plan.options.get("registry", "")), plan.options.get("pull") != "never"
    platform = f"linux/{plan.platform.machine}"  # of the nodes, also on a Mac
    archives = ImageArchives(choose_engine(box.environ, None), platform, ctx, registry=registry, may_pull=may_pull)
    stack.callback(archives.give_names_back)
    images = [("image", item.image) for item in COMPONENTS]
    if plan.provider == "kind":
        images.insert(0, ("node-image", str(plan.options.get("node_image") or NODE_IMAGE)))
    return [partial(archives.parts, kind, image) for kind, image in images]


def _gather(tasks: Sequence[_Task], ctx: StepContext) -> list[Part]:
    """Do several at once; the first error ends the others."""
    with ThreadPoolExecutor(AT_ONCE) as pool, child_context(ctx) as child:
        futures = [pool.submit(task, child) for task in tasks]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [part for future in futures for part in future.result()]
