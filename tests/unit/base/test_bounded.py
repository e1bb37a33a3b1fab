# SPDX-License-Identifier: Apache-2.0
"""Files without an end, where a policy, a configuration or a log is wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.base.bounded import head
from transect.cli.policies import find
from transect.core.frontend import compile_file
from transect.replay import LogError, read

ENDLESS = Path("/dev/zero")


def test_no_more_is_read_than_is_wanted(tmp_path: Path) -> None:
    assert head(ENDLESS, 10) == bytes(11)
    (tmp_path / "short").write_bytes(b"abc")
    assert head(tmp_path / "short", 10) == b"abc"


def test_an_endless_file_is_no_policy_and_no_log(tmp_path: Path) -> None:
    endless = tmp_path / "endless.py"
    endless.symlink_to(ENDLESS)
    assert [d.code for d in compile_file(endless).diagnostics] == ["P003"]
    with pytest.raises(LogError, match="no log of transect"):
        read(ENDLESS)


def test_a_link_to_a_device_in_a_folder_is_no_file_to_check(tmp_path: Path) -> None:
    (tmp_path / "endless.py").symlink_to(ENDLESS)
    (tmp_path / "policy.py").write_text("from transect.rpc import Element\nclass P(Element):\n    pass\n")
    found = find([str(tmp_path)])
    assert found.policies == [tmp_path / "policy.py"]
