# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from transect.base.unavailable import Unavailable
from transect.vm.packages import Archive


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive on disk with one kernel, which nobody has signed."""
    suite = tmp_path / "archive" / "dists" / "trixie-backports"
    listed = suite / "main" / "binary-amd64"
    listed.mkdir(parents=True)
    (listed / "Packages").write_text(
        "Package: linux-binary-9.9.9+deb13-cloud-amd64\nVersion: 9.9.9\nArchitecture: amd64\n"
        f"Filename: kernel.deb\nSize: 1\nSHA256: {'0' * 64}\n"
    )
    digest = subprocess.run(
        ["sha256sum", listed / "Packages"], capture_output=True, text=True, check=True
    ).stdout
    size = (listed / "Packages").stat().st_size
    (suite / "Release").write_text(
        "Suite: trixie-backports\nCodename: trixie-backports\nComponents: main\nArchitectures: amd64\n"
        f"Date: Sat, 01 Jan 2050 00:00:00 UTC\nSHA256:\n {digest.split()[0]} {size} main/binary-amd64/Packages\n"
    )
    return tmp_path / "archive"


def test_an_archive_that_nobody_signed_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="is not signed"):
        Archive(tmp_path / "state", f"file:{archive}").packages()


def test_the_folder_of_the_state_is_for_its_owner_alone(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    with pytest.raises(Unavailable):
        Archive(tmp_path / "state", f"file:{archive}").packages()
    loose = [path for path in (tmp_path / "state").iterdir() if path.is_dir() and path.stat().st_mode & 0o077]
    assert loose == []


def test_without_apt_the_message_names_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable) as lacking:
        Archive(tmp_path).packages()
    assert lacking.value.hint == "boot a kernel of your own: --kernel /boot/vmlinuz-…"
