# SPDX-License-Identifier: Apache-2.0
"""Engine models from measured profiles."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from transect.llm.simulator.calibrate import Point, fit, profile, scale
from transect.llm.simulator.model import ENGINES, Times, engine
from transect.llm.simulator.trace import DATA

TRUE = Times(0.030, 4e-5, 9e-7, 0.015, 0.0003, 9e-7, 0.04, 2e-4, 6e-4)


def measured(input: int, output: int, batch: int) -> Point:
    """What a machine with these times shows."""
    decode = sum(
        max(
            TRUE.step_small + TRUE.step_small_per_sequence * batch + TRUE.step_small_per_token * context,
            TRUE.step_large + TRUE.step_large_per_sequence * batch + TRUE.step_large_per_token * context,
        )
        for context in (batch * (input + t) for t in range(1, output + 1))
    )
    prefill = TRUE.prefill + batch * (TRUE.prefill_per_token * input + TRUE.prefill_per_request)
    return Point(input, output, batch, prefill, decode)


def test_a_fit_finds_the_times_that_made_the_profile() -> None:
    points = [
        measured(x, y, b)
        for x, y, b in zip([8, 64, 256, 512] * 3, [64, 128, 200] * 4, range(12, 132, 10), strict=True)
    ]
    found = fit(points)
    for name in Times.__slots__:
        assert getattr(found.times, name) == pytest.approx(getattr(TRUE, name), rel=1e-6)
    assert found.decode_error < 1e-9 and found.prefill_error < 1e-9


def test_the_model_that_comes_along_is_that_of_the_published_profile() -> None:
    found = fit(profile(DATA / "a10g_cost_profile.json"))
    held = tomllib.loads((ENGINES / "a10g-llama-2-7b.toml").read_text())
    for name in Times.__slots__:
        assert held["seconds"][name] == pytest.approx(getattr(found.times, name), rel=1e-5)
    assert found.decode_error < 0.01
    assert engine("a10g-llama-2-7b").times.step_small == pytest.approx(
        held["seconds"]["step_small"] * held["scale"]["value"]
    )


def test_the_scalar_makes_a_run_as_long_as_it_was() -> None:
    assert scale(TRUE, lambda times: 100 * times.step_small / TRUE.step_small, 112.0) == pytest.approx(
        1.12, abs=0.001
    )


def test_too_few_points_and_what_is_no_profile_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not show where small batches end"):
        fit([measured(8, 64, 10), measured(64, 64, 20)])
    path = tmp_path / "profile.json"
    path.write_text("[1, 2]")
    with pytest.raises(ValueError, match="is no profile"):
        profile(path)
