# SPDX-License-Identifier: Apache-2.0
"""What a process that was killed has left in the temporary folder goes when the next of its kind begins."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from transect.base.temporary import LOCK, Temporary, sweep

CODE = """
import time
from transect.base.temporary import Temporary
with Temporary("transect-odd-") as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def age(folder: Path) -> None:
    then = time.time() - 60
    os.utime(folder / LOCK, (then, then))


def test_what_the_killed_left_goes_and_what_the_living_have_stays() -> None:
    with subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            folder = Path(owner.stdout.readline().strip())
            (folder / "module.so").write_bytes(b"x")
            age(folder)
            sweep("transect-odd-")
            assert folder.exists(), "its owner lives"
            owner.kill()
            owner.wait()
            sweep("transect-other-")
            assert folder.exists(), "it is of another kind"
            with Temporary("transect-odd-") as next:
                assert Path(next).exists() and not folder.exists()
        finally:
            owner.kill()
    assert not Path(next).exists()


def test_what_is_not_ours_or_has_just_begun_stays(places: Path) -> None:
    new, strange, target = (places / name for name in ("transect-odd-new", "transect-odd-strange", "else"))
    for place in (new, strange, target):
        place.mkdir()
    for place in (new, target):
        (place / LOCK).touch()
    age(target)
    link = places / "transect-odd-link"
    link.symlink_to(target)
    (places / "transect-odd-file").touch()
    sweep("transect-odd-")
    assert len(list(places.iterdir())) == 5 and (target / LOCK).exists()


@pytest.mark.needs("root")
def test_what_another_user_has_stays(places: Path) -> None:
    theirs = places / "transect-odd-theirs"
    theirs.mkdir()
    (theirs / LOCK).touch()
    age(theirs)
    os.chown(theirs, 65534, 65534)
    sweep("transect-odd-")
    assert theirs.exists()
