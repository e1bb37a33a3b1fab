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


def test_requests_that_no_engine_has_memory_for_are_refused_and_said(transect: Run, tmp_path: Path) -> None:
    trace = tmp_path / "big.csv"
    trace.write_text(TINY + "3,a,14050,10\n4,b,20,14050\n")
    done = transect("llm", "simulate", "vtc", "fcfs", "--trace", str(trace), "--runs", "1")
    assert done.code == 0, done.err
    assert "2 of 62 requests need more than the engine's memory of 10,000 tokens" in done.out
    said = transect("llm", "simulate", "vtc", "--trace", str(trace), "--runs", "1", "--json")
    assert [row["too_large"] for row in json.loads(said.out)] == [2]
    trace.write_text(TINY.splitlines()[0] + "\n0,a,14050,10\n")
    alone = transect("llm", "simulate", "vtc", "--trace", str(trace), "--runs", "1")
    assert alone.code == 0 and "1 of 1 requests need more" in alone.out
    trace.write_text(TINY)
    assert "memory" not in transect("llm", "simulate", "vtc", "--trace", str(trace), "--runs", "1").out


def test_differences_between_clients_with_weights_are_of_services_divided_by_them(transect: Run) -> None:
    done = transect("llm", "simulate", "vtc_weighted", "vtc", "--trace", "weighted", "--runs", "1")
    greatest = {row.split()[0]: float(row.split()[1].replace(",", "")) for row in done.out.splitlines()[2:4]}
    assert greatest["vtc_weighted"] < greatest["vtc"]
    assert "divided by weight" in done.out


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
