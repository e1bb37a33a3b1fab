# SPDX-License-Identifier: Apache-2.0
"""Kernels that tests look at, and what modules for them are built with; fetched from Debian's archive once, unpacked
into the cache, nothing installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from transect.base.places import place
from transect.base.unavailable import Unavailable
from transect.vm.kernel import Kernel, find, own
from transect.vm.packages import ARCHIVE, KEYRING, Archive

FIXTURES = Path(__file__).parent / "fixtures"
MODULES = (  # of the generic kernel, for RDMA over an emulated network card
    "modules.builtin",
    "modules.order",
    "kernel/crypto/crc32_generic.ko.xz",
    "kernel/drivers/infiniband",
    "kernel/drivers/net/net_failover.ko.xz",
    "kernel/drivers/net/virtio_net.ko.xz",
    "kernel/fs/configfs/configfs.ko.xz",
    "kernel/net/core/failover.ko.xz",
    "kernel/net/ipv4/udp_tunnel.ko.xz",
    "kernel/net/ipv6/ip6_udp_tunnel.ko.xz",
)
MODULE = "kernel/drivers/virtio/virtio.ko"  # of the older kernel


class Packages(Archive):
    """Any package of the release and its backports, or of other suites."""

    suites = "trixie trixie-backports"

    def _prepare(self) -> None:
        super()._prepare()
        (self.folder / "sources" / "kernels.sources").write_text(
            f"Types: deb\nURIs: {ARCHIVE}\nSuites: {self.suites}\nComponents: main\nSigned-By: {KEYRING}\n"
        )

    def names(self, pattern: str) -> list[str]:
        """Packages whose whole name fits, oldest version first."""
        self._prepare()
        self._apt("apt-get", "update")
        listed = [n for n in self._apt("apt-cache", "pkgnames", "linux-").split() if re.fullmatch(pattern, n)]
        return sorted(listed, key=lambda n: [int(x) for x in re.findall(r"\d+", n)])

    def unpack(self, name: str, into: Path, *only: str) -> None:
        """The files of a package; `only` those below some folders."""
        pool = self.folder / "pool"
        pool.mkdir(exist_ok=True)
        self._apt("apt-get", "download", name, cwd=pool)
        (archive,) = pool.glob("*.deb")
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as files:
            words = ["tar", "-x", "-C", str(into), *only]
            subprocess.run(words, stdin=files.stdout, check=True)
        archive.unlink()


class Older(Packages):
    """Packages of the release before."""

    suites = "bookworm"


@dataclass(frozen=True)
class Target:
    """A kernel with the headers of the same build."""

    kernel: Kernel
    headers: Path  # linux-headers-…

    @property
    def image(self) -> Path:
        """As the package has it: the root of trust."""
        assert self.kernel.compressed is not None
        return self.kernel.compressed

    @property
    def modules(self) -> Path:
        """For `modprobe -d`."""
        return self.headers.parents[1]

    def build(self, folder: Path, sources: Path = FIXTURES) -> Path:
        """The module of the sources, for this kernel.  Raises `Unavailable`."""
        for name in ("gcc-14", "make", "bison", "flex", "bc", "kmod"):
            if shutil.which(name) is None:
                raise Unavailable("a kernel module", f"{name} is not installed", "as root: make system")
        folder.mkdir(parents=True, exist_ok=True)
        for file in sources.iterdir():
            if file.is_file():
                shutil.copy(file, folder)
        done = subprocess.run(
            # Types of the module itself (BTF) would need pahole, and nothing reads them.
            [
                *("make", "-s", "-C", self.headers, f"M={folder}", "CC=gcc-14"),
                "CONFIG_DEBUG_INFO_BTF_MODULES=",
                "modules",
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (made,) = folder.glob("*.ko")
        return made


@cache
def target(version: str) -> Target:
    """`6.12`: the release's generic kernel; `7.3`: that of `transect vm`.  Raises `Unavailable`."""
    root = place("vm") / "headers"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    archive = Packages(root / "apt")
    if version == "6.12":
        return _generic(archive, root)
    kernel = find(version)
    return Target(kernel, _headers(archive, root, kernel.release))


def _generic(archive: Packages, root: Path) -> Target:
    known = sorted(root.glob("boot/vmlinuz-6.12.*+deb13-amd64"))
    if not known or not _whole(root, known[-1]):
        name = archive.names(r"linux-image-6\.12\.\d+\+deb13-amd64")[-1]
        release = name.removeprefix("linux-image-")
        modules = f"./usr/lib/modules/{release}"
        wanted = [f"{modules}/{name}" for name in MODULES]
        archive.unpack(name, root, "./boot", *wanted)
        subprocess.run(["/usr/sbin/depmod", "-b", root / "usr", release], check=True)
        known = sorted(root.glob("boot/vmlinuz-6.12.*+deb13-amd64"))
    image = known[-1]
    kernel = own(image)
    return Target(kernel, _headers(archive, root, image.name.removeprefix("vmlinuz-")))


@cache
def older() -> tuple[Path, Path]:
    """The image of Debian 12's kernel, and one of its modules.  Raises `Unavailable`."""
    root = place("vm") / "older"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (known := sorted(root.glob("boot/vmlinuz-*"))):
        archive = Older(root / "apt")
        name = archive.names(r"linux-image-6\.1\.0-\d+-cloud-amd64")[-1]
        release = name.removeprefix("linux-image-")
        archive.unpack(name, root, f"./lib/modules/{release}/{MODULE}", f"./boot/vmlinuz-{release}")
        known = sorted(root.glob("boot/vmlinuz-*"))
    image = known[-1]
    return image, root / "lib" / "modules" / image.name.removeprefix("vmlinuz-") / MODULE


def _whole(root: Path, image: Path) -> bool:
    """Whether all modules are there that tests want by now."""
    folder = root / "usr" / "lib" / "modules" / image.name.removeprefix("vmlinuz-")
    return all((folder / name).exists() for name in MODULES)


def _headers(archive: Packages, root: Path, release: str) -> Path:
    """Unpacked, and their paths turned to where they are."""
    headers = root / "usr" / "src" / f"linux-headers-{release}"
    done = headers / "unpacked"
    if not done.exists():
        plain = re.sub(r"-(cloud-)?amd64$", "", release)
        archive.names("linux-headers-.*")
        for name in (f"linux-headers-{release}", f"linux-headers-{plain}-common", f"linux-kbuild-{plain}"):
            archive.unpack(name, root)
        makefile = headers / "Makefile"
        makefile.write_text(makefile.read_text().replace("/usr/src/", f"{root}/usr/src/"))
        done.touch()
    return headers
