# SPDX-License-Identifier: Apache-2.0
"""`transect check`: what it reads, prints and imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.unit.cli.terminal import Run, in_terminal, process
from transect.cli.app import run as general
from transect.cli.checking import Format, usual_form

GOOD = """\
from transect.rpc import Element, Forward, Rpc, Verdict


class Count(Element):
    seen: int = 0

    def request(self, rpc: Rpc) -> Verdict:
        self.seen += 1
        return Forward()
"""
BAD = GOOD.replace("self.seen += 1", "self.sean += 1").replace("class Count", "class Bad")
WORSE = GOOD.replace("return Forward()", "while True: pass").replace("class Count", "class Worse")
CHILD = """\
from bad import Bad


class Child(Bad):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "good.py": GOOD,
        "bad.py": BAD,
        "worse.py": WORSE,
        "test_good.py": GOOD,
        "app.py": "x = 1\n",
    }.items():
        Path(name).write_text(text)
    return tmp_path


@pytest.fixture(params=["usual", "general"])
def check(request: pytest.FixtureRequest, transect: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`transect check …`, by either way to it."""
    if request.param == "general":
        monkeypatch.setattr("transect.cli._dispatch", general)
    return lambda *words: transect("check", *words)


def test_a_good_policy_gives_one_line_and_0(check: Run, folder: Path) -> None:
    ended = check("good.py")
    assert (ended.code, ended.out, ended.err) == (0, "1 policy in 1 file, no errors\n", "")


def test_errors_are_shown_and_the_code_is_1(check: Run, folder: Path) -> None:
    ended = check("bad.py")
    assert (ended.code, ended.err) == (1, "")
    assert ended.out == snapshot("""\
error[P006]: no state field `sean`
 --> bad.py:8:9
  |
5 |     seen: int = 0
  |     ------------- a field with a close name is declared here
8 |         self.sean += 1
  |         ^^^^^^^^^ unknown field
  = help: write `self.seen`

1 error; `transect explain P006` tells more
""")


def test_a_folder_is_checked_as_a_whole(check: Run, folder: Path) -> None:
    ended = check(".")
    assert ended.code == 1
    assert ended.out.splitlines()[-1] == snapshot(
        "3 errors; `transect explain P006` tells more; 2 files without a policy"
    )
    assert [line for line in ended.out.splitlines() if "-->" in line] == snapshot(
        [" --> bad.py:8:9", " --> worse.py:9:9", " --> worse.py:9:9"]
    )


def test_an_error_that_two_files_share_is_shown_once(check: Run, folder: Path) -> None:
    Path("child.py").write_text(CHILD)
    assert check("bad.py", "child.py").out.count("error[P006]") == 1


def test_a_folder_without_policies_is_fine_and_says_so(check: Run, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("x = 1\n")
    ended = check(tmp_path)
    assert (ended.code, ended.out) == (0, "nothing to check: no policy found; 1 file without a policy\n")


@pytest.mark.parametrize("form", ["json", "sarif", "github"])
def test_other_formats_print_nothing_but_themselves(form: str, check: Run, folder: Path) -> None:
    bad = check("--format", form, "bad.py")
    assert (bad.code, bad.err) == (1, "")
    assert "P006" in bad.out
    good = check(f"--format={form}", "good.py")
    assert (good.code, good.err) == (0, "")
    assert "P006" not in good.out


def test_json(check: Run, folder: Path) -> None:
    assert json.loads(check("good.py", "--format", "json").out) == []
    (found,) = json.loads(check("bad.py", "--format", "json").out)
    assert (found["path"], found["line"], found["column"], found["end_column"]) == ("bad.py", 8, 9, 18)
    assert found["others"][0]["label"] == "a field with a close name is declared here"


def test_sarif_names_the_rule_by_its_page(check: Run, folder: Path) -> None:
    (run,) = json.loads(check("bad.py", "--format", "sarif").out)["runs"]
    assert run["tool"]["driver"]["rules"] == [
        {"id": "P006", "shortDescription": {"text": "an unknown state field"}}
    ]
    assert run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "bad.py"}


def test_github(check: Run, folder: Path) -> None:
    place, message = check("bad.py", "--format", "github").out.split("::", 2)[1:]
    assert place == "error file=bad.py,line=8,endLine=8,col=9,endColumn=18,title=transect P006"
    assert message == "no state field `sean`: unknown field%0Ahelp: write `self.seen`\n"
    assert check("good.py", "--format", "github").out == ""


def test_standard_input(tmp_path: Path) -> None:
    good = process("check", "-", stdin=GOOD.encode())
    assert (good.code, good.out) == (0, "1 policy in 1 file, no errors\n")
    bad = process("check", "-", stdin=BAD.encode())
    assert bad.code == 1
    assert " --> <stdin>:8:9\n" in bad.out


def test_standard_input_that_is_no_text() -> None:
    ended = process("check", "-", stdin=b"x = '\xff'\n")
    assert (ended.code, ended.err) == (1, "")
    assert ended.out == snapshot("""\
error[P002]: `<stdin>` is not UTF-8 text
 --> <stdin>:1:1
  = help: save it as UTF-8

1 error; `transect explain P002` tells more
""")


@pytest.mark.parametrize("data", [b"\0", b"\xff\xfe", b"class", b"-" * 100_000, b"x = " + b"(" * 5000, b""])
def test_whatever_the_bytes_are_it_ends_in_diagnostics_or_success(
    data: bytes, check: Run, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.py"
    path.write_bytes(b"from transect.rpc import Element\n" + data)
    assert check(path).code in (0, 1)


def test_colour_is_for_terminals(folder: Path) -> None:
    shown = in_terminal("check", "bad.py", cwd=folder)
    assert shown.code == 1
    assert shown.out.startswith("\x1b[1;31merror[P006]\x1b[0m\x1b[1m: no state field `sean`\x1b[0m\n")
    for ended in (
        process("check", "bad.py", cwd=folder),
        in_terminal("check", "bad.py", cwd=folder, NO_COLOR="1"),
    ):
        assert "\x1b" not in ended.out


def test_the_usual_forms_are_recognised_and_nothing_else() -> None:
    assert usual_form(["a.py", "-"]) == (["a.py", "-"], Format.TEXT)
    assert usual_form(["--format", "json", "a.py"]) == (["a.py"], Format.JSON)
    assert usual_form(["a.py", "--format=sarif"]) == (["a.py"], Format.SARIF)
    for other in (
        [],
        ["--help"],
        ["-h", "a.py"],
        ["--format"],
        ["--format", "xml", "a.py"],
        ["--", "a.py"],
        ["--format=json"],
    ):
        assert usual_form(other) is None, other


IMPORTED = """
import sys
from transect.cli import main
code = main(sys.argv[1:])
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(code)
"""


def test_a_successful_check_imports_little(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, "check", "good.py"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "1 policy in 1 file, no errors\n")
    imported = set(done.stderr.split())
    assert {
        "rich",
        "typer",
        "click",
        "msgspec",
        "z3",
        "grpc",
        "google",
        "pygments",
        "asyncio",
        "json",
    } & imported == set()


def test_a_failing_check_imports_little_more(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED, "check", "bad.py"], capture_output=True, text=True)
    assert done.returncode == 1
    assert {"rich", "typer", "click", "msgspec", "z3", "grpc", "google"} & set(done.stderr.split()) == set()


def test_a_missing_path_is_wrong_usage_before_anything_is_checked(check: Run, folder: Path) -> None:
    ended = check("bad.py", "gone.py")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "transect: no such file or folder: gone.py\n"


CHAIN = """\
from good import Count
from transect.rpc import Chain

chain = Chain(service="echo.Echo", upstream="127.0.0.1:1", elements=[Count(seen=5)])
"""


def test_a_chain_file_is_checked_with_its_elements(check: Run, folder: Path) -> None:
    Path("chain.py").write_text(CHAIN)
    assert check("chain.py").out == "1 chain in 1 file, no errors\n"
    assert check("chain.py", "good.py").out == "1 policy, 1 chain in 2 files, no errors\n"
    Path("chain.py").write_text(CHAIN.replace("seen=5", "sen=5"))
    ended = check("chain.py")
    assert ended.code == 1
    assert ended.out.startswith("error[R032]: `Count` has no field `sen`\n --> chain.py:4:76\n")


def test_a_chain_file_may_define_its_elements(check: Run, folder: Path) -> None:
    Path("chain.py").write_text(
        BAD + CHAIN.replace("Count(seen=5)", "Bad()").replace("from good import Count\n", "")
    )
    ended = check("chain.py")
    assert (ended.code, ended.out.count("error[P006]")) == (1, 1)


def test_checking_a_chain_needs_no_grpc(folder: Path) -> None:
    Path("chain.py").write_text(CHAIN)
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, "check", "chain.py"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert {"rich", "typer", "msgspec", "z3", "grpc", "google"} & set(done.stderr.split()) == set()


LATE = """\
from transect.rpc import Element, Forward, Message, Rpc, Verdict


class Ask(Message):
    user: str


class Late(Element):
    def response(self, rpc: Rpc[Ask]) -> Verdict:
        if rpc.headers.get("X-User") is None:
            rpc.msg.user = "nobody"
        return Forward()
"""


def test_what_no_service_could_make_right_is_told_without_one(check: Run, folder: Path) -> None:
    Path("late.py").write_text(LATE)
    done = check("late.py", "--format", "json")
    assert done.code == 1
    assert [d["code"] for d in json.loads(done.out)] == ["R022", "R008"]


LONG = "a" * 300
LONG_CHAIN = (
    "from transect.examples.rpc.acl import Acl\nfrom transect.rpc import Chain\n\n"
    'chain = Chain(service="a.B", upstream="h:1", elements=[Acl()], {more})\n'
)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("chain.py", LONG_CHAIN.format(more=f'protos=["{LONG}.proto"]'), "error[R033]"),
        ("chain.py", LONG_CHAIN.format(more=f'protos=["chain.py"], proto_path=["{LONG}"]'), "error[R033]"),
        (
            "chain.py",
            LONG_CHAIN.format(more=f'tls={{"certificate": "{LONG}", "key": "{LONG}"}}'),
            "warning[R035]",
        ),
        ("policy.py", f"from {LONG} import x\nfrom transect.{LONG} import y\n", "error[P004]"),
        ("gateway.toml", f'policy = "{LONG}.py"\n[[upstreams]]\nurl = "http://127.0.0.1:1"\n', "error[S031]"),
    ],
)
def test_a_name_longer_than_files_have_is_no_file(
    transect: Run, tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    ended = transect("check", tmp_path / name)
    assert (ended.code, ended.err) == (int(said.startswith("error")), "")
    assert ended.out.startswith(said)
