# SPDX-License-Identifier: Apache-2.0
"""Files that are kept from one run to the next, below `~/.cache/transect`.  Some are loaded as code, and all their
names can be foretold, so a folder serves only while nobody but this user and root can put anything into it, or anything
else into its place.

`opened` goes there from `/`, each step from the folder before it by its descriptor, and looks at what it has opened: a
folder on the way belongs to us or to root, and others may not write into it, or it is sticky, as /tmp is, where they
cannot rename what is ours.  By induction nobody else can lead the path elsewhere, and what is done by the descriptor
is done in the very folder that was looked at.  A link on the way is followed by the same rules.

A file that is sealed ends with the size and the hash of its content: what is cut off or damaged is as if it were not
there, so whoever asks makes it anew.  Files are put in place whole; of several processes at once, the last one wins.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import mmap
import os
import shutil
import stat
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transect.base.bounded import first
from transect.base.places import ANOTHER_CACHE
from transect.base.room import FULL, SAYS
from transect.base.unavailable import Unavailable

SEAL = struct.Struct("<32sQ8s")  # SHA-256 and size of what comes before, MARK
MARK = b"transect"
ABANDONED_S = 3600.0  # an unfinished file or folder older than this is left from a process that was killed
LOCKED_S = 10.0  # by then a process that makes something in a folder has locked it
LARGEST = 1 << 30  # bytes of a kept file; a larger one is not ours, and is treated as missing
UNDER_WAY = ".building-"  # what folders are called in which something is made
MOST_LINKS = 40  # of one path, as in the kernel

_A_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ACL = "system.posix_acl_access"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that only we and root can change, held open.  All methods raise Unavailable for what goes wrong."""

    path: Path
    descriptor: int

    @property
    def here(self) -> Path:
        """A path that leads there by its descriptor, in this process and in a child that has inherited that."""
        return _by_descriptor(self.descriptor)

    @contextlib.contextmanager
    def inside(self, name: str, *, make: bool = False) -> Iterator[Folder]:
        """Open a folder inside this one, by the same rules."""
        with opened(self.path / name, make=make, within=self.descriptor) as folder:
            yield folder

    def read(self, name: str) -> bytes | None:
        """The content of a sealed file; None if it is missing, damaged, or not ours."""
        data = self.plain(name)
        if data is None or len(data) < SEAL.size:
            return None
        content, seal = memoryview(data)[: -SEAL.size], data[-SEAL.size :]
        return bytes(content) if seal == _seal(content) else None

    def keep(self, name: str, content: bytes) -> None:
        """Put a sealed file in place."""
        self.put(name, content + _seal(content))

    def plain(self, name: str) -> bytes | None:
        """The content of a file without a seal; None if it is missing or not ours."""
        with self._file(name) as descriptor, _told(self.path):
            if descriptor is None or os.fstat(descriptor).st_size > LARGEST:
                return None
            with open(descriptor, "rb", closefd=False) as file:
                return first(file, LARGEST)

    def mapped(self, name: str) -> mmap.mmap | None:
        """The same file, mapped into memory."""
        with self._file(name) as descriptor, _told(self.path):
            if descriptor is None or not 0 < os.fstat(descriptor).st_size <= LARGEST:
                return None
            return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)

    def put(self, name: str, content: bytes) -> None:
        """Put a file in place, whole or not at all."""
        half = f".{name[:100]}-{os.urandom(8).hex()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with _told(self.path):
            descriptor = os.open(half, flags, 0o600, dir_fd=self.descriptor)
            try:
                with open(descriptor, "wb") as file:
                    file.write(content)
                os.rename(half, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
            except BaseException:
                os.unlink(half, dir_fd=self.descriptor)
                raise

    @contextlib.contextmanager
    def workplace(self) -> Iterator[Path]:
        """A folder to make something in, gone afterwards.  The path leads there by its descriptor, also for the working
        directory of a process that is started, whatever becomes of the folders above it."""
        name = f"{UNDER_WAY}{os.urandom(8).hex()}"
        with _told(self.path):
            os.mkdir(name, 0o700, dir_fd=self.descriptor)
            inside = os.open(name, _A_FOLDER, dir_fd=self.descriptor)
        try:
            with _told(self.path):
                fcntl.flock(inside, fcntl.LOCK_SH)  # while we live: see `_left`
            yield _by_descriptor(inside)
        finally:
            os.close(inside)
            shutil.rmtree(name, ignore_errors=True, dir_fd=self.descriptor)

    def tidy(self) -> None:
        """Remove unfinished files that killed processes have left."""
        with _told(self.path), os.scandir(self.descriptor) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another process tidies, too
                    if entry.name.startswith(".") and (_abandoned(entry) or self._left(entry)):
                        self.remove(entry.name)

    def _left(self, entry: os.DirEntry[str]) -> bool:
        """Whether it is the workplace of one who is dead."""
        if not entry.name.startswith(UNDER_WAY) or not _older(entry, LOCKED_S):
            return False
        inside = os.open(entry.name, _A_FOLDER, dir_fd=self.descriptor)
        try:
            fcntl.flock(inside, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(inside)
        return True

    def remove(self, name: str) -> None:
        """A file, or a folder with all that is in it."""
        with _told(self.path), contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.lstat(name, dir_fd=self.descriptor).st_mode):
                shutil.rmtree(name, dir_fd=self.descriptor)
            else:
                os.unlink(name, dir_fd=self.descriptor)

    @contextlib.contextmanager
    def _file(self, name: str) -> Iterator[int | None]:
        """A descriptor of a file that only we and root can have written; None if there is no such file."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, dir_fd=self.descriptor)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP, errno.EACCES, errno.ENXIO):
                raise _unavailable(self.path, error) from error
            yield None
            return
        try:
            found = os.fstat(descriptor)
            ours = (
                stat.S_ISREG(found.st_mode) and not _foreign(found) and not _open_to_others(found, descriptor)
            )
            yield descriptor if ours else None
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Loadable:
    """A sealed file that was verified, to be loaded while it is open."""

    # Leads to it by the folder's descriptor, in this process and in a child that has inherited that
    name: str
    descriptor: int


@contextlib.contextmanager
def opened(path: Path, *, make: bool = False, within: int | None = None) -> Iterator[Folder]:
    """Open the folder.  `make`: create it for us alone if it is missing.  `within`: a descriptor of its parent folder.
    Raises Unavailable if it is missing, cannot be made, or others could change its content.
    """
    with _told(path):
        descriptor = _reached(path, make) if within is None else _reached(Path(path.name), make, within)
    try:
        yield Folder(path, descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def loadable(path: Path) -> Iterator[Loadable]:
    """A sealed file that holds code: the file loaded is the very file that was verified.  Raises Unavailable if it may
    not be loaded.
    """
    with opened(path.parent) as folder:
        if folder.read(path.name) is None:
            raise Unavailable(str(path), "it is not there, damaged, or not ours", f"rm -f {path}")
        yield Loadable(str(folder.here / path.name), folder.descriptor)


def content(path: Path) -> bytes:
    """What is in a sealed file.  Raises Unavailable as `loadable` does."""
    with opened(path.parent) as folder:
        found = folder.read(path.name)
    if found is None:
        raise Unavailable(str(path), "it is not there, damaged, or not ours", f"rm -f {path}")
    return found


# ---------------------------------------------------------------- the way there


def _reached(path: Path, make: bool, within: int | None = None) -> int:
    """A descriptor of the folder at the end of a path, each step of which was found safe; it begins at `/` or at a safe
    folder.
    """
    if within is None:
        rest, at = list(reversed(path.absolute().parts[1:])), _step("/", None, Path("/"))
    else:
        rest, at = list(reversed(path.parts)), os.dup(within)
    seen, links = Path("/"), 0
    try:
        while rest:
            name = rest.pop()
            inside = _step(name, at, seen / name, make=make)
            if stat.S_ISLNK(os.fstat(inside).st_mode):
                target = Path(os.readlink("", dir_fd=inside))
                os.close(inside)
                links += 1
                if links > MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                rest.extend(reversed(target.parts[target.is_absolute() :]))
                if not target.is_absolute():
                    continue
                inside, seen = _step("/", None, Path("/")), Path("/")
            else:
                seen = seen / name
            os.close(at)
            at = inside
        if _open_to_others(os.fstat(at), at, sticky=False):
            raise _not_ours_alone(seen, os.fstat(at))
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)


def _step(name: str, within: int | None, path: Path, *, make: bool = False) -> int:
    """A descriptor of a folder or link that others can neither change nor replace."""
    look = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC  # asked for here, as only Linux has it
    try:
        descriptor = os.open(name, look, dir_fd=within)
    except FileNotFoundError:
        if not make:
            raise
        with contextlib.suppress(FileExistsError):  # another process makes it, too
            os.mkdir(name, 0o700, dir_fd=within)
        descriptor = os.open(name, look, dir_fd=within)
    try:
        found = os.fstat(descriptor)
        if _foreign(found):
            raise Unavailable(f"the cache in {path}", f"it belongs to user {found.st_uid}", ANOTHER_CACHE)
        if stat.S_ISDIR(found.st_mode):
            if _open_to_others(found, descriptor):
                raise _not_ours_alone(path, found)
        elif not stat.S_ISLNK(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _not_ours_alone(path: Path, found: os.stat_result) -> Unavailable:
    mode = f"mode {stat.S_IMODE(found.st_mode):o}"
    hint = f"chmod go-w {path}; or {ANOTHER_CACHE}"
    return Unavailable(f"the cache in {path}", f"others may write there ({mode})", hint)


def _foreign(found: os.stat_result) -> bool:
    return found.st_uid not in (0, os.geteuid())


def _open_to_others(found: os.stat_result, descriptor: int, *, sticky: bool = True) -> bool:
    """Whether others may write there.  `sticky`: a sticky folder is accepted, since others may add files to it but not
    rename ours.
    """
    mode = found.st_mode
    if not mode & (stat.S_IWGRP | stat.S_IWOTH):
        return False
    if sticky and stat.S_ISDIR(mode) and mode & stat.S_ISVTX:
        return False
    return bool(mode & stat.S_IWOTH) or not _of_nobody_else(found, descriptor)


def in_other_hands(descriptor: int) -> str:
    """Who else than this user and root could have written a file, in words; "": nobody."""
    found = os.fstat(descriptor)
    if _foreign(found):
        return f"it belongs to user {found.st_uid}"
    mode = f"mode {stat.S_IMODE(found.st_mode):o}"
    return f"others may write to it ({mode})" if _open_to_others(found, descriptor) else ""


def _of_nobody_else(found: os.stat_result, descriptor: int) -> bool:
    """Whether the group is the owner's own and has no other member; with such groups a umask of 002 is usual."""
    import grp
    import pwd

    try:
        owner, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    if owner.pw_gid != group.gr_gid or owner.pw_name != group.gr_name or {*group.gr_mem} - {owner.pw_name}:
        return False
    return not _has_acl(descriptor)


def _has_acl(descriptor: int) -> bool:
    """Whether the folder has an access control list; the group's bits are then the most that its entries may allow."""
    try:
        os.getxattr(f"/proc/self/fd/{descriptor}", _ACL)
    except OSError as error:
        return error.errno not in (errno.ENODATA, errno.EOPNOTSUPP)
    return True


# ---------------------------------------------------------------- small things


def _seal(content: bytes | memoryview) -> bytes:
    return SEAL.pack(hashlib.sha256(content).digest(), len(content), MARK)


def _by_descriptor(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}")


def _abandoned(entry: os.DirEntry[str]) -> bool:
    return _older(entry, ABANDONED_S)


def _older(entry: os.DirEntry[str], seconds: float) -> bool:
    return entry.stat(follow_symlinks=False).st_mtime < time.time() - seconds


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn OSError into Unavailable."""
    try:
        yield
    except OSError as error:
        raise _unavailable(path, error) from error


def _unavailable(path: Path, error: OSError) -> Unavailable:
    if error.errno in FULL:
        return _full(path, error)
    return Unavailable(f"the cache {path}", error.strerror or str(error), ANOTHER_CACHE)


def _full(path: Path, error: OSError | None = None) -> Unavailable:
    why = SAYS if error is None or error.strerror is None else error.strerror
    return Unavailable(f"the cache {path}", why, f"make room there, or {ANOTHER_CACHE}")


def full_workplace(place: Path) -> Unavailable | None:
    """What is missing where there is no room left in a `workplace`; None: it is none."""
    real = Path(os.path.realpath(place))
    return _full(real.parent) if real.name.startswith(UNDER_WAY) else None
