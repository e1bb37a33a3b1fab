# SPDX-License-Identifier: Apache-2.0
"""What an operator is answered, the same by the host of every stratum."""

from __future__ import annotations

import importlib.util
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pytest

from tests.unit.control import hosts
from transect.control import Client, Refused, sockets
from transect.control.answers import Changed, Started, Status, Stopped, Upgraded

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(params=list(hosts.EVERY))
def given(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[hosts.Given]:
    yield hosts.EVERY[request.param](tmp_path, monkeypatch)


def conforms(answer: object, schema: type[Any]) -> None:
    """An answer, as JSON has it, has all keys of the schema, and no others."""
    plain = json.loads(json.dumps(answer))
    assert msgspec.convert(plain, schema) == plain


def test_status_has_one_shape(given: hosts.Given) -> None:
    status = given.operated.status()
    conforms(status, Status)
    conforms(status["details"], given.details)
    assert (status["stratum"], status["name"], status["version"]) == (given.operated.stratum, "shop", 1)
    assert (status["settled"], status["recording"]) == (True, None)
    assert status["policies"] and status["carrier"]
    assert {row["field"]: row["value"] for row in status["state"]}["limit"] == "5"


def test_a_parameter_is_set(given: hosts.Given) -> None:
    (name,) = (policy["name"] for policy in given.operated.status()["policies"])
    changed = given.operated.set("limit", "7")
    conforms(changed, Changed)
    assert changed == {"param": f"{name}.limit", "before": "5", "after": "7"}
    with pytest.raises(Refused, match="no parameter `limits`"):
        given.operated.set("limits", "7")
    with pytest.raises(Refused, match="`many`"):
        given.operated.set("limit", "many")


def test_a_recording_begins_and_ends(given: hosts.Given, tmp_path: Path) -> None:
    operated, log = given.operated, tmp_path / "log"
    started = operated.record_start(str(log))
    conforms(started, Started)
    assert started["path"] == operated.status()["recording"] == str(log) and log.exists()
    with pytest.raises(Refused) as twice:
        operated.record_start(str(tmp_path / "second"))
    assert (twice.value.why, twice.value.hint) == (
        f"it records already, into {log}",
        f"`transect {operated.stratum} record shop --stop` ends the recording",
    )
    assert not (tmp_path / "second").exists()
    stopped = operated.record_stop()
    conforms(stopped, Stopped)
    assert (stopped["path"], stopped["dropped"], operated.status()["recording"]) == (str(log), 0, None)


def test_what_is_set_would_be_missing_in_a_log(given: hosts.Given, tmp_path: Path) -> None:
    """Replayed, such a log left the recording at a line of the policy which was right."""
    operated = given.operated
    operated.record_start(str(tmp_path / "log"))
    with pytest.raises(Refused) as no:
        operated.set("limit", "7")
    assert no.value.why == "it records, and a log is of one version with its parameters"
    operated.record_stop()
    assert operated.set("limit", "7")["before"] == "5"


def test_a_recording_ends_when_who_asked_for_it_is_gone(
    given: hosts.Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "folder", lambda: tmp_path / "sockets")
    operated, log = given.operated, tmp_path / "log"
    with operated.serve():
        client = Client(operated.stratum, "shop")
        with client.recording(log):
            assert client.status()["recording"] == str(log)
        end = time.monotonic() + 10
        while client.status()["recording"] is not None:
            assert time.monotonic() < end, "it still records"
            time.sleep(0.01)
        assert client.upgrade(given.newer)["version"] == 2


def test_what_a_recording_is_in_the_way_of_says_how_to_end_it(
    given: hosts.Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "folder", lambda: tmp_path / "sockets")
    operated = given.operated
    with operated.serve(), Client(operated.stratum, "shop").recording(tmp_path / "log") as recording:
        client = Client(operated.stratum, "shop")
        try:
            client.upgrade(given.newer)
        except Refused as no:
            ends = f"`transect {operated.stratum} record shop --stop` ends the recording"
            assert (no.why, no.hint) == ("it records, and a log is of one version with its parameters", ends)
            assert operated.stratum in ("rpc", "cpu"), "logs of others may be of several versions"
        client.record_stop()  # as the command does
        assert client.status()["recording"] is None
        client.upgrade(given.newer)
        with pytest.raises(Refused, match="somebody else has ended the recording"):
            recording.end()


def test_a_log_whose_end_cannot_be_written_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Envoy's log is closed by us: where the disk is full it stayed open, and no upgrade was possible any more."""
    operated, log = hosts.envoy(tmp_path, monkeypatch).operated, tmp_path / "log"
    operated.record_start(str(log))
    log.unlink()
    log.symlink_to("/dev/full")
    with pytest.raises(Refused) as full:
        operated.record_stop()
    assert full.value.why == f"the log {log} is not whole: No space left on device"
    assert full.value.hint == "make room, and record anew; `transect replay` reads what it has"
    assert operated.status()["recording"] is None


def test_a_log_whose_head_cannot_be_written_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(path: Path) -> BinaryIO:
        path.touch()
        return open("/dev/full", "wb")

    operated, log = hosts.envoy(tmp_path, monkeypatch).operated, tmp_path / "log"
    monkeypatch.setattr("transect.rpc.envoy.recording.create", create)
    with pytest.raises(Refused, match="cannot be written: No space left on device"):
        operated.record_start(str(log))
    assert not log.exists() and operated.status()["recording"] is None


def test_a_recording_that_cannot_be_is_refused(given: hosts.Given, tmp_path: Path) -> None:
    operated = given.operated
    with pytest.raises(Refused) as nothing:
        operated.record_stop()
    hint = f"begin with `transect {operated.stratum} record shop -o FILE`"
    assert (nothing.value.why, nothing.value.hint) == ("nothing is recorded", hint)
    there, nowhere = tmp_path / "there", tmp_path / "no" / "log"
    there.write_text("precious")
    with pytest.raises(Refused) as taken:
        operated.record_start(str(there))
    assert (taken.value.why, taken.value.hint) == (f"{there} is there already", "give a new name")
    with pytest.raises(Refused) as missing:
        operated.record_start(str(nowhere))
    why = f"{nowhere} cannot be written: No such file or directory"
    assert (missing.value.why, missing.value.hint) == (why, "give another place")
    assert there.read_text() == "precious" and operated.status()["recording"] is None


def test_an_upgrade_has_one_shape(given: hosts.Given) -> None:
    operated = given.operated
    old = operated.status()["policies"]
    upgraded = operated.upgrade(str(given.newer))
    conforms(upgraded, Upgraded)
    conforms(upgraded["details"], given.upgrade_details)
    new = operated.status()["policies"]
    assert (upgraded["before"], upgraded["version"], operated.status()["version"]) == (1, 2, 2)
    assert [row["version"] for row in upgraded["replaced"]] == [row["version"] for row in old]
    assert [row["version"] for row in upgraded["policies"]] == [row["version"] for row in new]
    assert old[0]["version"] != new[0]["version"]
    assert upgraded["fields"][f"{new[0]['name']}.limit"] == "keep"


def test_the_version_before_comes_back_once(given: hosts.Given) -> None:
    """With what has become of the state meanwhile."""
    operated = given.operated
    with pytest.raises(Refused, match="no version to go back to"):
        operated.go_back()
    first = [(row["name"], row["version"]) for row in operated.status()["policies"]]
    upgraded = operated.upgrade(str(given.newer))
    operated.set("limit", "7")
    back = operated.go_back()
    assert operated.set("limit", "5")["before"] == "7"
    assert [(row["name"], row["version"]) for row in operated.status()["policies"]] == first
    assert back["version"] == upgraded["version"] + 1 == 3
    assert (back["policies"], back["replaced"]) == (upgraded["replaced"], upgraded["policies"])
    assert back["details"].keys() == given.upgrade_details.__annotations__.keys()
    with pytest.raises(Refused, match="no version to go back to"):
        operated.go_back()


def test_a_file_without_a_policy_is_refused_and_what_runs_goes_on(given: hosts.Given, tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("# nothing\n")
    with pytest.raises(Refused):
        given.operated.upgrade(str(tmp_path / "empty.py"))
    assert given.operated.status()["version"] == 1


def test_the_reference_names_every_key(given: hosts.Given) -> None:
    spec = importlib.util.spec_from_file_location("reference_pages", DOCS / "reference_pages.py")
    assert spec is not None and spec.loader is not None
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    found = set(re.findall(r"^\| `(\w+)\??` \|", "\n".join(pages.answers()), re.MULTILINE))
    keys = {
        key
        for schema in (Status, Upgraded, given.details, given.upgrade_details)
        for key in schema.__annotations__
    }
    assert keys <= found
