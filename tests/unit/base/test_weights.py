# SPDX-License-Identifier: Apache-2.0
"""The file of tenants' weights: what it may say, and that it is followed."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from transect.base.weights import NoWeights, Weights, read_weights, written


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tenants.toml"
    weights = {"alice": 400, "bob@example.org": 1, "c-d_e": 1_000_000}
    path.write_text(written(weights))
    assert read_weights(path) == weights


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[tenants]\nalice = 0", "no weight between"),
        ("[tenants]\nalice = 1000001", "no weight between"),
        ("[tenants]\nalice = true", "no weight between"),
        ("[tenants]\nalice = 1.5", "no weight between"),
        ("[tenants]\n'a b' = 1", "the tenant `a b`"),
        ("[tenants]\nalice = 1\nalice = 2", "no TOML"),
        ("tenants = 3", "no table"),
        ("", "no table"),
        ("[tenants]\n[weights]\n", "`weights`"),
        ("[tenants", "no TOML"),
        ("x" * (5 << 20), "cannot be read"),
    ],
)
def test_what_says_no_weights_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "tenants.toml"
    path.write_text(text)
    with pytest.raises(NoWeights, match=why):
        read_weights(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoWeights, match="cannot be read: No such file"):
        Weights(tmp_path / "tenants.toml")


def test_a_file_is_followed_and_a_damaged_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("transect.base.followed.LOOK_S", 0.0)
    path = tmp_path / "tenants.toml"
    path.write_text(written({"alice": 400}))
    weights = Weights(path)
    assert (weights.of("alice"), weights.of("somebody")) == (400, 100)
    path.write_text(written({"alice": 300, "somebody": 7}))
    assert (weights.of("alice"), weights.of("somebody")) == (300, 7)
    with caplog.at_level(logging.ERROR, "transect.followed"):
        path.write_text("[tenants]\nalice = -1")
        assert (weights.of("alice"), weights.of("somebody")) == (300, 7)
        path.unlink()
        assert weights.of("alice") == 300
    assert ["stays in force" in message for message in caplog.messages] == [True]
