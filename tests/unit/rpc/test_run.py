# SPDX-License-Identifier: Apache-2.0
"""What is left behind when Envoy fails."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from transect.control.stopping import Stop
from transect.rpc.chain.address import Endpoint
from transect.rpc.envoy.process import Envoy, EnvoyFailed
from transect.rpc.run import kept_log, watch


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


@pytest.mark.parametrize(
    ("script", "fate"),
    [
        ("kill -KILL $$", "was killed (SIGKILL)"),
        ("kill -SEGV $$", "crashed (SIGSEGV)"),
        ("exit 3", "ended with status 3"),
    ],
)
def test_an_envoy_that_goes_is_named_with_its_end(script: str, fate: str, tmp_path: Path) -> None:
    process = subprocess.Popen(["sh", "-c", script])
    process.wait()
    gone = Envoy(process, tmp_path, Endpoint("127.0.0.1", 8080))
    with pytest.raises(EnvoyFailed) as caught:
        watch([gone], Stop())
    assert (
        caught.value.why == f"the Envoy at 127.0.0.1:8080 {fate}: nobody takes its calls until it runs again"
    )
