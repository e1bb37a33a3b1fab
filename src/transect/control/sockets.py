# SPDX-License-Identifier: Apache-2.0
"""Where the sockets are: `$XDG_RUNTIME_DIR/transect/STRATUM-NAME.sock`, `/run/transect` for root; their folder belongs
to the user and nobody else enters it."""

from __future__ import annotations

import os
import re
import socket
import stat
import tempfile
from pathlib import Path

from transect.base.unavailable import NoName, Unsafe

LONGEST = 107  # bytes of a socket's path, by the kernel's sockaddr_un
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def folder() -> Path:
    """The folder of this user's sockets; it need not exist."""
    if os.geteuid() == 0:
        return Path("/run/transect")
    base = os.environ.get("XDG_RUNTIME_DIR")
    # Services and containers have none; the folder is checked before it is used.
    return Path(base) / "transect" if base else Path(tempfile.gettempdir()) / f"transect-{os.geteuid()}"


def command(stratum: str) -> str:
    """The command that a stratum's verbs begin with; the verbs of a whole stack have no stratum in them."""
    return "transect" if stratum == "stack" else f"transect {stratum}"


def socket_path(stratum: str, name: str) -> Path:
    """The socket of one instance.  Raises `NoName`."""
    if not _NAME.fullmatch(name):
        raise NoName(f"`{name}` is no name of an instance: letters, digits, `_`, `.` and `-`, please")
    path = folder() / f"{stratum}-{name}.sock"
    if len(os.fsencode(path)) > LONGEST:
        raise NoName(f"the name of the socket is longer than {LONGEST} bytes: {path}")
    return path


def make_folder() -> Path:
    """The folder, made if need be.  Raises `Unsafe` when it is another user's, or open to others."""
    place = folder()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise Unsafe(f"{place} is no folder")
    if found.st_uid != os.geteuid():
        raise Unsafe(f"{place} belongs to user {found.st_uid}")
    if found.st_mode & 0o077:
        raise Unsafe(
            f"{place} is open to other users (mode {stat.S_IMODE(found.st_mode):o}); `chmod 700 {place}`"
        )
    return place


def is_live(path: Path) -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # busy, or not ours to ask: it is there
            return True
    return True


def found(stratum: str | None = None) -> list[tuple[str, str]]:
    """The instances that listen now: (stratum, name), of one stratum or of all."""
    pairs = (path.stem.partition("-")[::2] for path in folder().glob("*.sock") if is_live(path))
    return sorted((kind, name) for kind, name in pairs if stratum in (None, kind))


def called(name: str) -> list[tuple[str, str]]:
    """Those of that name, or, of several processes of one application, `NAME-2`, `NAME-3` …"""
    numbered = re.compile(rf"(\w+)-({re.escape(name)}(?:-\d+)?)\.sock")
    pairs = ((numbered.fullmatch(path.name), path) for path in folder().glob(f"*-{name}*.sock"))
    return sorted((known[1], known[2]) for known, path in pairs if known is not None and is_live(path))
