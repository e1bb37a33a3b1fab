# SPDX-License-Identifier: Apache-2.0
"""`transect bench`: claims of a checkout, measured by their own programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.parts import ROOT
from tests.unit.cli.terminal import Run
from transect.cli import claims

CLAIMS: dict[str, dict[str, object]] = {
    "core.good": {"value": {"p50": 1.03, "cpu": 1.01}, "target": {"p50": 1.06, "cpu": 1.1}, "holds": True},
    "core.noise": {"value": {"p50": 1.2}, "target": {"p50": 1.1}, "holds": None, "why": "noise"},
    "rpc.slow": {"value": {"p50": 1.5}, "target": {"p50": 1.06}, "holds": False},
}


@pytest.fixture
def benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, result in CLAIMS.items():
        program(tmp_path, name, f"print({json.dumps(json.dumps({'id': name, **result}))})")
    program(tmp_path, "rpc.missing", "raise SystemExit(3)")
    program(tmp_path, "rpc.broken", "raise ValueError('x')")
    monkeypatch.setattr(claims, "folder", lambda: tmp_path)
    return tmp_path


def program(benchmarks: Path, name: str, text: str) -> None:
    folder = benchmarks / name.replace(".", "_")
    folder.mkdir()
    (folder / "run.py").write_text(f"{text}\n")
    (folder / "expected.toml").write_text(
        f'id = "{name}"\n[target.p50]\nlimit = 1\n[target.cpu]\nlimit = 1\nat_most = false\n'
    )


def test_all_claims_and_their_numbers(transect: Run, benchmarks: Path) -> None:
    ended = transect("bench")
    assert ended.code == 1
    assert ended.out.replace(str(benchmarks), "…") == snapshot("""\
holds     core.good
          p50                           1.03   wanted ≤ 1.06
          cpu                           1.01   wanted ≥ 1.1
undecided core.noise: noise
          p50                            1.2   wanted ≤ 1.1
undecided rpc.broken: …/rpc_broken/run.py ended with 1 and gave no result
undecided rpc.missing: something is missing here; see above
FAILS     rpc.slow
          p50                            1.5   wanted ≤ 1.06
""")


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["core.good"], 0),
        (["core.good", "rpc.slow", "core.noise"], 1),
        (["core.good", "core.noise"], 4),
        (["rpc.missing"], 4),
    ],
)
def test_the_exit_code_tells_the_worst(names: list[str], code: int, transect: Run, benchmarks: Path) -> None:
    assert transect("bench", *names).code == code


def test_every_benchmark_of_ours_says_what_it_lacks_and_ends_with_3(tmp_path: Path) -> None:
    """All begin by the same function of `measuring.py`."""
    for script in sorted((ROOT / "benchmarks").glob("*/run.py")):
        assert script.read_text().endswith('if __name__ == "__main__":\n    begin(main)\n'), script
    lacking = """
from measuring import begin
from transect.base.unavailable import Unavailable

def main():
    raise Unavailable("an engine", "there is none", "buy one")

begin(main)
"""
    command = [sys.executable, "-c", lacking]
    ended = subprocess.run(command, cwd=ROOT / "benchmarks", capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", "an engine: there is none (buy one)\n")


def test_json_is_one_list(transect: Run, benchmarks: Path) -> None:
    results = json.loads(transect("bench", "core.good", "rpc.slow", "--json").out)
    assert [result["id"] for result in results] == ["core.good", "rpc.slow"]
    assert results[0]["value"] == {"p50": 1.03, "cpu": 1.01}


def test_a_wrong_name_and_the_list(transect: Run, benchmarks: Path) -> None:
    assert (
        transect("bench", "core.god").err
        == "transect: no claim `core.god`\n  hint: did you mean core.good?\n"
    )
    assert transect("bench", "--list").out.split() == sorted([*CLAIMS, "rpc.missing", "rpc.broken"])


COMMAND = """
import signal, sys
from pathlib import Path
from transect.cli import claims, main
claims.folder = lambda: Path(sys.argv[1])
if sys.argv[2] == "SIGTERM":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script does it to what it starts in the background
sys.exit(main(["bench"]))
"""
SLOW = """
import subprocess, sys
subprocess.Popen(["sleep", "100"])
try:
    print("begun", file=sys.stderr, flush=True)
    sys.stdin.read()
finally:
    print("ended its servers", file=sys.stderr)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_benchmark_began_ends_with_the_command(number: signal.Signals, tmp_path: Path) -> None:
    """Interrupted, it ends in order; what it forgets (`sleep`, which holds stderr open) is ended, too."""
    program(tmp_path, "rpc.slow", SLOW)
    reads, writes = os.pipe()
    command = [sys.executable, "-c", COMMAND, str(tmp_path), number.name]
    with subprocess.Popen(command, stdin=reads, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr and bench.stderr.readline() == "begun\n"
        bench.send_signal(number)
        said = bench.communicate(timeout=60)[1]
    os.close(reads)
    os.close(writes)
    assert bench.returncode == 130
    assert "ended its servers\n" in said
    assert said.endswith("transect: interrupted\n")
