# SPDX-License-Identifier: Apache-2.0
"""`transect decisions`: logs as rows for who keeps and searches them."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.unit.cli.terminal import Run
from tests.unit.cli.test_replay import POLICY
from tests.unit.cli.test_why import AT, TRACE, folder, write
from tests.unit.replay.test_compare import CALLS, Plain, recorded
from transect.base.request_id import Named
from transect.core.frontend import compile_text
from transect.replay import Log, read
from transect.replay.decisions import Sample, decisions

__all__ = ["folder"]


def test_each_decision_is_a_line_of_otlp(folder: Path, transect: Run) -> None:
    ended = transect("decisions", folder, "-o", "out.jsonl")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == snapshot(
        "out.jsonl: 10 decisions; 4 of 4 requests are explained, at each layer by itself\n"
    )
    lines = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert len(lines) == 10
    (resource,) = lines[0]["resourceLogs"]
    assert resource["resource"] == {
        "attributes": [{"key": "service.name", "value": {"stringValue": "front"}}]
    }
    (record,) = resource["scopeLogs"][0]["logRecords"]
    assert record["timeUnixNano"] == str(AT)
    assert record["body"]["stringValue"].startswith("P.request → Forward")
    attributes = {one["key"]: next(iter(one["value"].values())) for one in record["attributes"]}
    assert attributes["http.request.header.x-request-id"] == "a-1"
    assert attributes["transect.as_recorded"] is True
    assert json.loads(attributes["transect.changes"])[0] == {"place": "total", "before": "0", "after": "4"}
    assert "traceId" not in record
    traced = [line["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0].get("traceId") for line in lines]
    assert traced.count(TRACE) == 6
    assert stat.S_IMODE(Path("out.jsonl").stat().st_mode) == 0o600


def test_requests_are_taken_by_what_was_decided(folder: Path, transect: Run) -> None:
    assert transect("decisions", folder / "shop.log", "-o", "out.jsonl", "--verdict", "Reject").code == 0
    said = Path("out.jsonl").read_text()
    assert said.count("\n") == 3, "all decisions about the one request that was rejected in the end"
    assert "a-1" not in said


def test_a_sample_is_of_the_same_requests_at_every_layer() -> None:
    names = [Named(f"r{n}", f"00-{n + 1:032x}-{'0' * 15}1-01") for n in range(4000)]
    taken = [Sample(0.1).takes(named) for named in names]
    assert 300 < sum(taken) < 500
    assert taken == [Sample(0.1).takes(Named("", named.traceparent)) for named in names]
    assert all(Sample(1.0).takes(named) for named in names)
    assert not any(Sample(0.0).takes(named) for named in names)
    assert not Sample(1.0).takes(Named())


def test_what_is_not_explained_is_counted(folder: Path, transect: Run) -> None:
    (program,) = compile_text(POLICY, "limit.py").programs
    made = recorded(program, CALLS)
    write(replace(made, records=made.records[1:]), folder / "torn.log", "torn")
    ended = transect("decisions", folder / "torn.log", "-o", "out.jsonl")
    assert ended.code == 4
    assert "0 of 2 requests are explained" in ended.out
    log: Log = read(folder / "shop.log")
    found = decisions(log, Plain(), Sample())
    assert (found.requests, found.explained, len(found.rows)) == (2, 2, 5)


@pytest.mark.parametrize(("name", "said"), [("out.csv", "no such kind"), ("there.jsonl", "not overwritten")])
def test_what_cannot_be_written_is_refused(name: str, said: str, folder: Path, transect: Run) -> None:
    Path("there.jsonl").write_text("")
    ended = transect("decisions", folder, "-o", name)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


@pytest.mark.needs("pyarrow")
def test_decisions_are_a_table(folder: Path, transect: Run) -> None:
    from pyarrow import parquet

    assert transect("decisions", folder, "-o", "out.parquet").code == 0
    table = parquet.read_table("out.parquet")
    rows = table.to_pylist()
    assert (table.num_rows, rows[0]["layer"], rows[0]["hook"]) == (10, "front", "request")
    assert str(table.schema.field("time").type) == "timestamp[ns, tz=UTC]"
    assert {row["request_id"] for row in rows} == {"a-1", "a-2"}


def test_without_pyarrow_a_table_is_unavailable(
    folder: Path, transect: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setattr("transect.cli.exporting.read", lambda path: pytest.fail("a log is read in vain"))
    ended = transect("decisions", folder, "-o", "out.parquet")
    assert (ended.code, ended.out) == (3, "")
    assert "pip install 'transect[parquet]'" in ended.err
    assert not Path("out.parquet").exists()
