# SPDX-License-Identifier: Apache-2.0
"""What is left behind when Envoy fails."""

from __future__ import annotations

from pathlib import Path

from transect.rpc.run import kept_log


def test_the_log_of_a_failed_envoy_is_not_written_through_a_link(tmp_path: Path) -> None:
    log, precious = tmp_path / "there.log", tmp_path / "precious"
    log.write_text("why it ended")
    precious.write_text("mine")
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "envoy.log").symlink_to(precious)
    kept = kept_log(log, folder)
    assert (kept.name, kept.read_text(), precious.read_text()) == ("envoy-2.log", "why it ended", "mine")


def test_a_folder_that_takes_no_file_leaves_the_log_where_it_is(tmp_path: Path) -> None:
    log = tmp_path / "there.log"
    log.write_text("why it ended")
    assert kept_log(log, tmp_path / "nowhere") == log
