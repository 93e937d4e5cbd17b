"""Which of a machine's apt sources are the distribution's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from contextcore_install.system.packages.apt import own_sources

BOOKWORM = {"ID": "debian", "VERSION_CODENAME": "bookworm"}
NOBLE = {"ID": "ubuntu", "VERSION_CODENAME": "noble", "UBUNTU_CODENAME": "noble"}
MINT = {"ID": "linuxmint", "VERSION_CODENAME": "wilma", "UBUNTU_CODENAME": "noble"}

DEBIAN = "Types: deb\nURIs: http://deb.example/debian\nSuites: bookworm bookworm-updates\nComponents: main"


def etc(tmp_path: Path, **files: str) -> Path:
    """Lay out /etc/apt; `x_list` stands for sources.list.d/x.list, and `main` for sources.list itself."""
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    for name, text in files.items():
        path = tmp_path / "sources.list" if name == "main" else folder / name.replace("_", ".")
        path.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("os_release", "line"),
    [
        (BOOKWORM, "deb http://deb.example/debian bookworm main"),
        (BOOKWORM, "deb [arch=amd64 signed-by=/a.gpg] https://mirror.corp/debian/ bookworm main contrib # ours"),
        (BOOKWORM, "deb http://deb.example/debian-security bookworm-security main"),
        (BOOKWORM, "deb http://deb.example/debian bookworm-backports main non-free-firmware"),
        (BOOKWORM, "deb http://deb.example/debian stable main"),
        (NOBLE, "deb mirror+file:/etc/apt/mirrors.txt noble-updates main universe"),
        (MINT, "deb http://archive.example/ubuntu noble main"),
    ],
)
def test_the_distributions_own_line_is_taken_and_a_third_party_left(
    tmp_path: Path, os_release: dict[str, str], line: str
) -> None:
    third_party = "deb https://deb.example/node_20.x nodistro main\n"

    taken = own_sources(etc(tmp_path, main=f"# comment\n\n{line}\n", other_list=third_party), os_release)

    assert taken == {"own.list": line.partition(" #")[0] + "\n"}


@pytest.mark.parametrize(
    "line",
    [
        "deb https://apt.example/pub/repos/apt bookworm-pgdg main",
        "deb https://download.example/linux/debian bookworm stable",
        "deb https://packages.example/apt cloud-sdk-bookworm main",
        "deb cdrom:[Debian 12]/ bookworm main",
        "deb-src http://deb.example/debian bookworm main",
        "# deb http://deb.example/debian bookworm main",
        "deb http://deb.example/debian ./",
        "deb",
    ],
)
def test_what_is_not_the_distributions_own_is_left(tmp_path: Path, line: str) -> None:
    taken = own_sources(etc(tmp_path, debian_sources=DEBIAN, other_list=line), BOOKWORM)

    assert taken == {"own.sources": DEBIAN + "\n"}


def test_a_stanza_keeps_its_keys_and_continuation_lines(tmp_path: Path) -> None:
    stanza = f"{DEBIAN}\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc="
    disabled = f"Enabled: no\n{DEBIAN.replace('bookworm', 'sid')}"

    taken = own_sources(etc(tmp_path, debian_sources=f"# why\n{stanza}\n\n\n{disabled}\n"), BOOKWORM)

    assert taken == {"own.sources": stanza + "\n"}


def test_stanzas_with_a_comment_between_them_stay_apart(tmp_path: Path) -> None:
    """As in Ubuntu's own file."""
    more = DEBIAN.replace("/debian", "/debian-security").replace("bookworm bookworm-updates", "bookworm-security")

    taken = own_sources(etc(tmp_path, debian_sources=f"## Ours\n{DEBIAN}\n\n## Security\n{more}\n"), BOOKWORM)

    assert taken == {"own.sources": f"{DEBIAN}\n\n{more}\n"}


def test_an_archive_named_twice_is_taken_once_with_its_keys(tmp_path: Path) -> None:
    signed = f"{DEBIAN}\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg"
    again = "deb http://deb.example/debian/ bookworm main\n"

    assert own_sources(etc(tmp_path, main=again, debian_sources=signed), BOOKWORM) == {"own.sources": signed + "\n"}


def test_where_nothing_is_known_as_the_distributions_own_all_remain(tmp_path: Path) -> None:
    line = "deb http://archive.example/derivative rolling main\n"

    assert own_sources(etc(tmp_path, main=line), {}) == {"own.list": line}


def test_a_machine_without_sources_has_none(tmp_path: Path) -> None:
    assert own_sources(tmp_path, BOOKWORM) == {}
