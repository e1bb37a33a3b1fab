# SPDX-License-Identifier: Apache-2.0
"""A scan as people, programs and viewers of findings read it; and what is said when there is no target."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from transect.cli import main
from transect.cli.memory.listing import usual_form
from transect.memory import report
from transect.memory.findings import Result, Said, Scan, Verdict
from transect.memory.target import Address, BadTarget, packages, release_of, size

SAID = Said("hidden", (("pid", 66), ("comm", b"x\xff"), ("at", 0xFFFF888000001000)))
SCAN = Scan(
    "ram:x",
    "9.9",
    False,
    (
        Result("Quiet", "quiet.py", Verdict.CLEAN, rounds=1, reads=3),
        Result("Loud", "loud.py", Verdict.FOUND, findings=(SAID,), rounds=2, line=7),
        Result("Blind", "blind.py", Verdict.UNCHECKED, problem="no field `x`"),
    ),
)


def test_a_table_says_what_was_found_and_what_was_not_checked() -> None:
    lines = report.table(SCAN).splitlines()
    assert lines[0] == "ram:x: Linux 9.9 (unanchored)"
    assert any("! hidden  pid=66  comm=78ff  at=0xffff888000001000" in line for line in lines)
    assert any("not checked: no field `x`" in line for line in lines)
    assert lines[-2] == "1 finding; 1 of 3 probes clean; not checked: Blind"
    assert lines[-1].startswith("unanchored: ")


@pytest.mark.parametrize(
    ("release", "told"), [("5.10.0-32-amd64", True), ("6.1.0-50-amd64", False), ("?", False)]
)
def test_a_kernel_that_the_probes_do_not_know_is_told(release: str, told: bool) -> None:
    lines = report.table(replace(SCAN, release=release)).splitlines()
    assert lines[-1].startswith("older than Linux 6.1") is told


def test_json_has_every_probe_and_its_evidence() -> None:
    found = json.loads(report.to_json(SCAN))
    assert [p["verdict"] for p in found["probes"]] == ["clean", "found", "unchecked"]
    assert found["probes"][1]["findings"][0]["evidence"] == {
        "pid": 66,
        "comm": "78ff",
        "at": 0xFFFF888000001000,
    }


def test_sarif_points_at_the_probe() -> None:
    run = json.loads(report.to_sarif(SCAN))["runs"][0]
    assert [(r["ruleId"], r["level"]) for r in run["results"]] == [("Loud", "error"), ("Blind", "warning")]
    where = run["results"][0]["locations"][0]["physicalLocation"]
    assert (where["artifactLocation"]["uri"], where["region"]) == ("loud.py", {"startLine": 7})
    assert run["properties"]["anchored"] is False


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x", "no target"),
        ("disk:/x", "no target"),
        ("ram:", "no target"),
        ("ram:/x?high=2G", "no option `high`"),
        ("core:/x?low=2G", "there is none"),
    ],
)
def test_an_address_that_means_nothing_is_told(text: str, says: str) -> None:
    with pytest.raises(BadTarget, match=says):
        Address.of(text)


def test_sizes() -> None:
    assert (size("2G"), size("512M"), size("4096")) == (2 << 30, 512 << 20, 4096)
    with pytest.raises(BadTarget):
        size("two")


@pytest.mark.parametrize(
    ("banner", "release"),
    [
        (b"Linux version 9.9.1+deb13-amd64 (x) #1", "9.9.1+deb13-amd64"),
        (b"Linux version \x1b[2J (x)", "?"),
        (b"Linux version ../../x (x)", "?"),
    ],
)
def test_a_release_is_what_looks_like_one(banner: bytes, release: str) -> None:
    assert release_of(banner) == release


def test_text_of_a_target_does_not_reach_the_terminal_as_it_is() -> None:
    said = Said("named", (("name", "[\x1b[2J]+0x10"), ("comm", b"\x1b[2J")))
    assert "\x1b" not in report.table(
        Scan("t", "9", True, (Result("P", "p", Verdict.FOUND, findings=(said,)),))
    )


def test_a_release_from_a_target_names_no_path() -> None:
    assert list(packages("../../etc/passwd")) == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["scan", "nothing"], 2, "is no target"),
        (["scan", "ram:/nonexistent"], 3, "No such file"),
        (["scan", "roce:here"], 2, "roce://HOST/GRANT"),
        (["ps", "core:{junk}"], 4, "neither an ELF core nor"),
        (["scan", "ram:{junk}"], 4, "no kernel with kallsyms"),
    ],
)
def test_what_the_command_line_says_without_a_target(
    words: list[str], code: int, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "junk").write_bytes(b"junk" * 4096)
    assert main(["memory", *(w.format(junk=tmp_path / "junk") for w in words)]) == code
    assert says in capsys.readouterr().err


IMPORTED = """
import sys
from transect.cli import main
code = main(["memory", "ps", sys.argv[1]])
print(*sorted({name.partition(".")[0] for name in sys.modules}))
sys.exit(code)
"""


def test_a_list_at_the_prompt_imports_little(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"junk" * 4096)
    words = [sys.executable, "-c", IMPORTED, f"ram:{tmp_path / 'junk'}"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, "no kernel with kallsyms" in done.stderr) == (4, True)
    assert {"typer", "pydantic", "rich", "z3", "grpc", "asyncio"} & set(done.stdout.split()) == set()


def test_the_usual_forms_of_a_list(tmp_path: Path) -> None:
    kernel = tmp_path / "vmlinuz"
    kernel.touch()
    assert usual_form(["ps", "ram:x"]) == ("ps", "ram:x", None)
    assert usual_form(["lsmod", "ram:x", "--kernel", str(kernel)]) == ("lsmod", "ram:x", kernel)
    assert usual_form(["ps", "--kernel", str(kernel), "ram:x"]) == ("ps", "ram:x", kernel)
    for other in ("ps", "ps --help", "ps ram:x --kernel", "ps ram:x --kernel /nonexistent", "scan ram:x"):
        assert usual_form(other.split()) is None, other
