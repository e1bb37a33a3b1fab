# SPDX-License-Identifier: Apache-2.0
"""`transect llm simulate` and `calibrate`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.cli.terminal import Run

TINY = "arrival_s,client,input_tokens,output_tokens\n" + "".join(
    f"{i * 0.5},{'ab'[i % 2]},20,30\n" for i in range(60)
)


def test_the_table_has_a_row_for_each_policy(transect: Run, tmp_path: Path) -> None:
    trace = tmp_path / "tiny.csv"
    trace.write_text(TINY)
    done = transect("llm", "simulate", "fcfs", "rpm,limit=5", "--trace", str(trace), "--runs", "2")
    head, line, *rows = done.out.splitlines()
    assert head.split("  ")[0] == "policy" and set(line) == {"-"}
    assert [row.split("  ")[0] for row in rows] == ["fcfs", "rpm limit=5"] and "±" in rows[0]
    assert done.code == 0


def test_figures_as_json(transect: Run, tmp_path: Path) -> None:
    trace = tmp_path / "tiny.csv"
    trace.write_text(TINY)
    done = transect("llm", "simulate", "vtc", "--trace", str(trace), "--runs", "1", "--json")
    (row,) = json.loads(done.out)
    assert row["policy"] == "vtc" and row["throughput"]["mean"] > 0 and row["throughput"]["runs"] == 1


def test_pictures_are_svg(transect: Run, tmp_path: Path) -> None:
    trace = tmp_path / "tiny.csv"
    trace.write_text(TINY)
    done = transect(
        "llm", "simulate", "vtc", "--trace", str(trace), "--runs", "1", "--plots", str(tmp_path / "p")
    )
    written = sorted(p.name for p in (tmp_path / "p").iterdir())
    assert written == ["difference.svg", "response.svg", "vtc_service.svg"]
    assert all("<svg" in (tmp_path / "p" / name).read_text() for name in written) and done.code == 0


def test_what_is_not_there_is_said_with_what_is(transect: Run) -> None:
    unknown = transect("llm", "simulate", "vtcc")
    assert (unknown.code, unknown.err) == (1, "transect: no example policy `vtcc`; did you mean `vtc`?\n")
    trace = transect("llm", "simulate", "vtc", "--trace", "overlaod")
    assert trace.code == 3 and "did you mean `overload`?" in trace.err
    engine = transect("llm", "simulate", "vtc", "--engine", "a10g", "--runs", "1")
    assert engine.code == 3 and "a10g-llama-2-7b" in engine.err
    param = transect("llm", "simulate", "rpm,limt=5")
    assert (param.code, param.err.splitlines()[0]) == (
        2,
        "transect: Rpm has no parameter `limt`; it has: limit",
    )


def test_a_file_that_is_no_trace_is_told_with_its_line(transect: Run, tmp_path: Path) -> None:
    trace = tmp_path / "bad.csv"
    trace.write_text("arrival_s,client,input_tokens,output_tokens\n0,a,1,1\n1,a,none,1\n")
    done = transect("llm", "simulate", "vtc", "--trace", str(trace))
    assert done.code == 2 and f"{trace}:3" in done.err
