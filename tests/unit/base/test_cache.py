# SPDX-License-Identifier: Apache-2.0
"""What is kept is read only where nobody else can have put it; what is damaged is as if it were not there."""

from __future__ import annotations

import ctypes
import grp
import multiprocessing
import os
import pwd
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from transect.base import cache
from transect.base.places import place
from transect.base.unavailable import Unavailable

STRANGER = 12345
CONTENT = b"what was kept"
EVIL = b"what a stranger has put there"


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """The umask of a careless user: nothing may depend on it."""
    before = os.umask(0)
    yield
    os.umask(before)


def kept(folder: Path) -> bytes | None:
    with cache.opened(folder) as held:
        return held.read("name")


def keep(folder: Path, content: bytes = CONTENT) -> Path:
    with cache.opened(folder, make=True) as held:
        held.keep("name", content)
    return folder / "name"


# ---------------------------------------------------------------- where it is


def test_it_is_where_the_user_keeps_his(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "chosen"))
    assert place("chains") == tmp_path / "chosen" / "transect" / "chains"
    monkeypatch.setenv("HOME", str(tmp_path))
    for ignored in ("", "relative/folder"):  # by the XDG specification
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert place("chains") == tmp_path / ".cache" / "transect" / "chains"


def test_a_home_that_is_not_there_is_not_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "nonexistent"))
    with pytest.raises(Unavailable, match=r"the home .*nonexistent is not there \(XDG_CACHE_HOME=FOLDER"):
        place("chains")


# ---------------------------------------------------------------- what is kept


def test_what_is_kept_is_for_its_user_alone(tmp_path: Path) -> None:
    path = keep(tmp_path / "deep" / "folder")
    assert kept(path.parent) == CONTENT
    assert [p.stat().st_mode & 0o777 for p in (path, path.parent, path.parent.parent)] == [
        0o600,
        0o700,
        0o700,
    ]
    assert list(path.parent.iterdir()) == [path], "nothing half made is left"


def test_damage_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    path = keep(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert kept(tmp_path) is None, f"cut to {size} bytes"
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert kept(tmp_path) is None, f"byte {at} is another"
    path.write_bytes(whole + b"\0")
    assert kept(tmp_path) is None
    keep(tmp_path)
    assert kept(tmp_path) == CONTENT


def test_what_is_no_file_of_ours_does_not_serve(tmp_path: Path) -> None:
    path = keep(tmp_path / "folder")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert kept(path.parent) is None
    path.unlink()
    os.mkfifo(path)
    assert kept(path.parent) is None
    keep(path.parent)
    assert kept(path.parent) == CONTENT
    path.chmod(0o622)
    assert kept(path.parent) is None


def _keeps(folder: Path, number: int) -> None:
    for _ in range(50):
        keep(folder, bytes([number]) * 5000)


def test_of_several_processes_at_once_one_has_its_way(tmp_path: Path) -> None:
    keep(tmp_path, b"\0" * 5000)
    workers = [
        multiprocessing.get_context("fork").Process(target=_keeps, args=(tmp_path, n)) for n in (1, 2, 3)
    ]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        found = kept(tmp_path)
        assert found is not None and len(set(found)) == 1 and len(found) == 5000
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["name"]


def test_what_the_killed_left_is_removed_after_an_hour(tmp_path: Path) -> None:
    with cache.opened(tmp_path) as held:
        for name, age in ((".building-old", 7200), (".building-new", 5)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "part").write_bytes(b"x")
            then = (tmp_path / name).stat().st_mtime - age
            os.utime(tmp_path / name, (then, then))
        held.keep("name", CONTENT)
        held.tidy()
    assert sorted(p.name for p in tmp_path.iterdir()) == [".building-new", "name"]


def test_a_workplace_goes_with_the_next_who_tidies_when_its_owner_is_dead(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from transect.base.cache import opened\n"
        f"with opened(pathlib.Path({str(tmp_path)!r})) as held, held.workplace() as work:\n"
        "    print(flush=True); time.sleep(600)\n"
    )
    with (
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as builder,
        cache.opened(tmp_path) as held,
    ):
        try:
            assert builder.stdout is not None and builder.stdout.readline()
            (place,) = tmp_path.iterdir()
            os.utime(place, (time.time() - 60, time.time() - 60))
            held.tidy()
            assert place.exists(), "it lives"
            builder.kill()
            builder.wait()
            held.tidy()
            assert not place.exists()
        finally:
            builder.kill()


def test_a_place_to_work_leads_there_by_its_descriptor(tmp_path: Path) -> None:
    with cache.opened(tmp_path / "folder", make=True) as held, held.workplace() as work:
        (tmp_path / "folder").rename(tmp_path / "moved")
        (work / "made").write_bytes(b"x")
        held.put("made", (work / "made").read_bytes())
    assert [p.name for p in (tmp_path / "moved").iterdir()] == ["made"]


# ---------------------------------------------------------------- whose folders


@pytest.mark.parametrize("mode", [0o702, 0o777])
@pytest.mark.parametrize("which", ["folder", "."])
def test_a_folder_on_the_way_that_others_may_write_is_refused(tmp_path: Path, which: str, mode: int) -> None:
    refused_with(mode, tmp_path / which, keep(tmp_path / "folder" / "chains").parent)


@pytest.mark.parametrize("which", ["folder", "."])
def test_a_folder_on_the_way_that_a_group_of_others_may_write_is_refused(
    tmp_path: Path, which: str, needs: Callable[[str], int]
) -> None:
    path = keep(tmp_path / "folder" / "chains")
    os.chown(tmp_path / which, -1, needs("a second group"))
    refused_with(0o720, tmp_path / which, path.parent)


def refused_with(mode: int, folder: Path, below: Path) -> None:
    """What is kept `below` is not read once the folder has that mode."""
    folder.chmod(mode)
    with pytest.raises(Unavailable) as refused:
        kept(below)
    assert refused.value.why == f"others may write there (mode {mode:o})"
    assert refused.value.hint == f"chmod go-w {folder}; or XDG_CACHE_HOME=FOLDER names another place"


def test_below_a_sticky_folder_that_is_ours_it_is_safe_and_in_it_not(tmp_path: Path) -> None:
    path = keep(tmp_path / "shared" / "chains")
    path.parent.parent.chmod(0o1777)
    assert kept(path.parent) == CONTENT
    path.parent.chmod(0o1777)
    with pytest.raises(Unavailable, match=r"others may write there \(mode 1777\)"):
        kept(path.parent)


def test_a_group_of_ones_own_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A umask of 002 is usual where every user has a group of his own."""
    path = keep(tmp_path / "chains")
    path.parent.chmod(0o770)
    user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(path.parent.stat().st_gid)
    own = pwd.struct_passwd(("ann", "x", user.pw_uid, group.gr_gid, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: own)
    for name, members, safe in (
        ("ann", [], True),
        ("ann", ["ann"], True),
        ("ann", ["bob"], False),
        ("users", [], False),
    ):
        found = grp.struct_group((name, "x", group.gr_gid, members))
        monkeypatch.setattr(grp, "getgrgid", lambda gid, found=found: found)
        if safe:
            assert kept(path.parent) == CONTENT
        else:
            with pytest.raises(Unavailable, match="others may write there"):
                kept(path.parent)


def test_links_are_followed_by_the_same_rules(tmp_path: Path) -> None:
    keep(tmp_path / "real" / "chains")
    (tmp_path / "home").symlink_to("real")
    (tmp_path / "far").symlink_to(tmp_path / "home")
    assert kept(tmp_path / "far" / "chains") == CONTENT
    assert kept(tmp_path / "far" / "chains" / ".." / "chains") == CONTENT
    (tmp_path / "real").chmod(0o777)
    with pytest.raises(Unavailable, match=f"the cache in {tmp_path}/real: others may write there"):
        kept(tmp_path / "far" / "chains")
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(Unavailable, match="Too many levels of symbolic links"):
        kept(tmp_path / "round")


@pytest.mark.needs("root")
def test_a_folder_or_link_of_another_user_is_refused(tmp_path: Path) -> None:
    path = keep(tmp_path / "folder" / "chains")
    os.chown(path, STRANGER, -1)
    assert kept(path.parent) is None, "a file of his does not serve"
    os.chown(path.parent.parent, STRANGER, -1)
    with pytest.raises(Unavailable, match=f"the cache in {tmp_path}/folder: it belongs to user {STRANGER}"):
        kept(path.parent)
    os.chown(path.parent.parent, 0, -1)
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    os.lchown(tmp_path / "link", STRANGER, -1)
    with pytest.raises(Unavailable, match=f"the cache in {tmp_path}/link: it belongs to user {STRANGER}"):
        kept(tmp_path / "link" / "chains")


@pytest.mark.parametrize("what", ["a file", "read-only", "full"])
def test_what_cannot_be_written_is_told(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    if what == "a file":
        folder.write_bytes(b"")
        why = "Not a directory"
    elif what == "read-only":
        folder = Path("/proc/transect")
        why = "No such file or directory"
    else:
        folder, why = tmp_path, "No space left on device"
        monkeypatch.setattr(os, "rename", lambda *_, **__: os.write(os.open("/dev/full", os.O_WRONLY), b"x"))
    with pytest.raises(Unavailable, match=why):
        keep(folder)
    assert what != "full" or list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- exchanged underneath


def test_folders_exchanged_all_the_time_never_give_what_a_stranger_put_there(tmp_path: Path) -> None:
    """One of them others may write; it has a file with a right seal under the foretellable name."""
    keep(tmp_path / "ours")
    keep(tmp_path / "theirs", EVIL)
    (tmp_path / "theirs").chmod(0o777)
    read = Counter(_raced(tmp_path, kept))
    assert set(read) == {CONTENT, "refused"} and min(read.values()) > 100, read
    turns = range(20)  # on a busy machine one may not be enough
    assert any(EVIL in _raced(tmp_path, _looked_at_by_name) for _ in turns), "who looks by name is fooled"


def _looked_at_by_name(folder: Path) -> bytes | None:
    """The guard as it should not be."""
    if folder.stat().st_mode & 0o022:
        raise Unavailable("it", "is open to others", "")
    return (folder / "name").read_bytes()[: -cache.SEAL.size]


@pytest.mark.needs("root")
def test_a_parent_exchanged_by_its_owner_is_never_trusted(tmp_path: Path) -> None:
    """As that of the other test, by the user who owns the folder above."""
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    keep(shared / "ours")
    keep(shared / "theirs", EVIL)
    for path in (shared, shared / "theirs", shared / "theirs" / "name"):
        os.chown(path, STRANGER, -1)
    assert set(_raced(shared, kept)) == {"refused"}


def _raced(parent: Path, read: Callable[[Path], bytes | None], tries: int = 5000) -> list[bytes | str | None]:
    """What was read while the names of two folders were exchanged all the time."""
    libc, over = ctypes.CDLL(None, use_errno=True), threading.Event()

    def exchange() -> None:
        while not over.is_set():
            libc.renameat2(-100, bytes(parent / "ours"), -100, bytes(parent / "theirs"), 2)  # RENAME_EXCHANGE

    def tried() -> bytes | str | None:
        try:
            return read(parent / "ours")
        except Unavailable:
            return "refused"

    other = threading.Thread(target=exchange)
    other.start()
    try:
        return [tried() for _ in range(tries)]
    finally:
        over.set()
        other.join()


def test_what_is_larger_than_anything_of_ours_does_not_serve(tmp_path: Path) -> None:
    """A file that was grown to gigabytes kept a service from starting while it was read."""
    file = keep(tmp_path)
    os.truncate(file, cache.LARGEST + 1)
    with cache.opened(file.parent) as folder:
        assert folder.plain(file.name) is None
        assert folder.mapped(file.name) is None
        assert folder.read(file.name) is None
