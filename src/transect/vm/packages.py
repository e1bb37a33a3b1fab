# SPDX-License-Identifier: Apache-2.0
"""Kernel packages of Debian, through an apt state of our own: no root, no change to the system's sources.

apt checks the archive's signature with the keys that the system trusts already; the system's settings (a proxy, for
example) are used, its sources and lists are not.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transect.base.bounded import whole
from transect.base.programs import Endless, ran
from transect.base.unavailable import Unavailable
from transect.linux.image import LARGEST

ARCHIVE = "http://deb.debian.org/debian"  # signed, whichever way it comes
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PATIENCE_S = 1800.0  # for one step: a kernel is 30 MB, and some are far from the archive
OWN_KERNEL = "boot a kernel of your own: --kernel /boot/vmlinuz-…"
PACKAGE = re.compile(r"linux-(?:binary|image)-(?P<release>\d+(?:\.\d+)+\+deb\d+-cloud-amd64)")


@dataclass(frozen=True, slots=True)
class Package:
    """A kernel package of the archive."""

    name: str  # linux-binary-7.3.4+deb13-cloud-amd64
    release: str  # what `uname -r` says once it runs: 7.3.4+deb13-cloud-amd64

    @property
    def version(self) -> tuple[int, ...]:
        return tuple(int(number) for number in self.release.partition("+")[0].split("."))


class Archive:
    """The kernels of a Debian suite, below a folder of ours.  Raises `Unavailable` where there is no apt or no net."""

    def __init__(self, folder: Path, place: str = ARCHIVE) -> None:
        self.folder = folder
        self.place = place

    def packages(self) -> list[Package]:
        """All kernels for virtual machines in the archive now, oldest first."""
        self._prepare()
        self._apt("apt-get", "update")
        listed = self._apt("apt-cache", "pkgnames", "linux-").split()
        found: dict[str, Package] = {}
        for name in sorted(
            listed
        ):  # `linux-binary-…` comes first and wins: it holds the image, the other may not
            if match := PACKAGE.fullmatch(name):
                found.setdefault(match["release"], Package(name, match["release"]))
        return sorted(found.values(), key=lambda package: package.version)

    def image(self, package: Package) -> bytes:
        """The compressed kernel of that package."""
        pool = self.folder / "pool"
        shutil.rmtree(pool, ignore_errors=True)
        pool.mkdir()
        self._apt("apt-get", "download", package.name, cwd=pool)
        (archive,) = pool.glob("*.deb")
        self._run(["dpkg-deb", "-x", str(archive), str(pool / "files")], self.folder)
        found = [*pool.glob("files/usr/lib/modules/*/vmlinuz"), *pool.glob("files/boot/vmlinuz-*")]
        if len(found) != 1:
            raise Unavailable(package.name, "the package holds no kernel image", OWN_KERNEL)
        try:
            image = whole(found[0], LARGEST)
        except OSError as wrong:
            raise Unavailable(package.name, f"its kernel: {wrong.strerror}", OWN_KERNEL) from wrong
        shutil.rmtree(pool)
        return image

    def _prepare(self) -> None:
        for name in ("apt-get", "dpkg-deb"):
            if shutil.which(name) is None:
                raise Unavailable("a kernel", f"this system has no {name} to fetch Debian's with", OWN_KERNEL)
        if not KEYRING.is_file():
            raise Unavailable("a kernel", f"no {KEYRING} to check Debian's signature with", OWN_KERNEL)
        for name in (
            "state",
            "state/lists",
            "state/lists/partial",
            "cache",
            "cache/archives/partial",
            "sources",
        ):
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)  # parents have the usual mode
        (self.folder / "sources" / "kernels.sources").write_text(
            f"Types: deb\nURIs: {self.place}\nSuites: trixie-backports\nComponents: main\nSigned-By: {KEYRING}\n"
        )

    def _apt(self, program: str, *words: str, cwd: Path | None = None) -> str:
        settings = {
            "Dir::State": self.folder / "state",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self.folder / "cache",
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": self.folder / "sources",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Sandbox::User": "",  # the folder is ours, and nobody else's may enter it
            "APT::Update::Error-Mode": "any",
            "APT::Get::AllowUnauthenticated": "false",
            "Acquire::AllowInsecureRepositories": "false",
            "Acquire::Languages": "none",
            "Acquire::http::Timeout": "20",
        }
        options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        return self._run([program, "-q", *options, *words], cwd or self.folder)

    def _run(self, argv: Sequence[str], cwd: Path) -> str:
        try:
            done = ran(argv, patience_s=PATIENCE_S, cwd=cwd, umask=0o077)
        except Endless as endless:
            raise Unavailable("a kernel", f"{argv[0]}: {endless}", OWN_KERNEL) from endless
        if done.status:
            said = [line for line in done.complaint.splitlines() if line.startswith("E:")]
            why = said[0] if said else done.complaint.strip()
            raise Unavailable("a kernel", f"{argv[0]} failed: {why}", OWN_KERNEL)
        return done.said
