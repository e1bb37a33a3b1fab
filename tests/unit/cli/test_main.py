# SPDX-License-Identifier: Apache-2.0
"""Exit codes, and what is said when a command cannot do its work."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot

from tests.unit.cli.terminal import Ended, Run, in_terminal, process
from transect.base.unavailable import Unavailable
from transect.cli import app
from transect.cli.exits import MEANING, Exit
from transect.cli.progress import working
from transect.cli.targets import TARGETS
from transect.cli.verbs import TRANSECT, Group


def every_command(group: Group = TRANSECT, *path: str) -> list[tuple[str, ...]]:
    found = [path]
    for name, entry in group.verbs.items():
        found += every_command(entry, *path, name) if isinstance(entry, Group) else [(*path, name)]
    return found


def command_of(words: Sequence[str]) -> Any:
    """The parser of a verb."""
    command = app._group(app.NAME, TRANSECT)
    for word in words:
        command = command.get_command(None, word)
    return command


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_help_text_tells_what_it_is_for_and_the_exit_codes(
    words: tuple[str, ...], transect: Run
) -> None:
    shown = transect(*words, "--help")
    assert shown.code == 0
    assert shown.out.splitlines()[0].strip()
    for code, meaning in MEANING.items():
        assert f"\n  {code.value:<5}{meaning[:40]}" in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    assert transect(*words, "-h") == shown


def test_help_of_transect(transect: Run) -> None:
    assert transect("--help").out == snapshot("""\
Write a policy once, in Python; run it in your RPCs, your LLM server, your CPU
scheduler, and against another machine's memory.

Usage: transect [OPTIONS] COMMAND …

Policies:
  new        Write a policy and its pytest test, nothing else.
  check      Say what is wrong with policies, and what to write instead.
  compile    Compile a policy to plain files, which name the policy's lines.

Look closer:
  explain    Show an error's page, or a policy and what it is compiled to, side
             by side.
  replay     Run recorded calls again on the interpreter, and show the first
             that comes out differently.
  why        Show the decisions that one request met at each layer: the policy's
             lines, what they read, and what they changed.
  decisions  Write the decisions about requests, each with what decided it, as
             rows for tools that keep and search them.
  prove      Show that policies keep what they promise (`requires`, `ensures`,
             `invariant`), or inputs that break it.
  diff       Show which inputs give another result in a new version, with an
             example of each kind, or prove that none does.

A whole stack:
  run        Put a whole stack in force, until Ctrl-C: chains, gateways,
             schedulers, watches, and programs of your own.
  top        Show, live, how each layer of a stack serves its tenants: what each
             one gets, who waits, and who is in whose way.
  status     Show what runs: its policies with version and state schema, its
             counters, and whether it records.
  set        Change parameters of what runs, for instance `rate=100` or
             `Acl.open=false`.
  record     Write every handler call of what runs into a log, for `transect
             replay` and `transect why`.
  upgrade    Replace what runs by a new version, and keep its state.

Strata:
  rpc        Application networks: policies which process RPCs, in gRPC
             libraries and in Envoy.
  llm        Fair serving of many clients by LLM engines.
  cpu        Linux schedulers: in the running kernel, or in a virtual machine.
  memory     Introspection of another machine's kernel memory, without software
             on its CPU.

This machine:
  doctor     Say for each stratum whether it works here, why not, and the one
             command that helps.
  demo       Show the main job of a whole stack, and of each stratum, on real
             parts: no root, nothing left behind.
  bench      Measure the claims of the checkout's benchmarks on this machine.
  vm         Run a command in a throw-away virtual machine with a recent kernel;
             the exit code is the command's.

Options:
  --version             Show which transect this is.
  --install-completion  Install completion for the current shell.
  --show-completion     Show completion for the current shell, to copy it or
                        customize the installation.
  -h, --help            Show this text.

Exit codes:
  0    as wanted
  1    the answer is no: diagnostics, findings, a divergence, a difference, not
       proved
  2    wrong usage
  3    something is missing on this machine
  4    inconclusive: unknown, time-out, not fully read
  70   an error of transect itself, with the text to report
  130  interrupted
""")


def test_help_of_check(transect: Run) -> None:
    assert transect("check", "--help").out == snapshot("""\
Say what is wrong with policies, and what to write instead.

Usage: transect check [OPTIONS] PATH…

A file is checked as it stands: nothing of it is executed, and no stratum needs
to be installed. In a folder, every Python file that declares a policy is
checked; tests, hidden folders and environments are left alone. A TOML file that
is named is checked as the configuration of an LLM gateway or engine, together
with the policy that it names.

Arguments:
  PATH…            Files, folders, or - for standard input.

Options:
  --format FORMAT  text, json, sarif or github. [default: text]
  -h, --help       Show this text.

Exit codes:
  0    as wanted
  1    the answer is no: diagnostics, findings, a divergence, a difference, not
       proved
  2    wrong usage
  3    something is missing on this machine
  4    inconclusive: unknown, time-out, not fully read
  70   an error of transect itself, with the text to report
  130  interrupted
""")


def test_help_of_rpc(transect: Run) -> None:
    assert transect("rpc", "--help").out == snapshot("""\
Application networks: policies which process RPCs, in gRPC libraries and in
Envoy.

Usage: transect rpc [OPTIONS] COMMAND …

In force:
  run        Put a chain of elements in front of a service, in a stock Envoy,
             until Ctrl-C.

Where elements stand:
  plan       Find the cheapest arrangement of a chain that means the same: which
             element runs where, and in which order.
  calibrate  Measure what calls, processors and elements cost on this machine,
             for `transect rpc plan`.

While it runs:
  status     Show what runs: its policies with version and state schema, its
             counters, and whether it records.
  set        Change parameters of what runs, for instance `rate=100` or
             `Acl.open=false`.
  record     Write every handler call of what runs into a log, for `transect
             replay` and `transect why`.
  upgrade    Replace what runs by a new version, and keep its state.
  back       Put the version before the last upgrade back in force, and give it
             the state.

Look closer:
  try        Send the counter-example of each refused rearrangement through the
             real data plane, and show what comes of it.

Options:
  -h, --help  Show this text.

Exit codes:
  0    as wanted
  1    the answer is no: diagnostics, findings, a divergence, a difference, not
       proved
  2    wrong usage
  3    something is missing on this machine
  4    inconclusive: unknown, time-out, not fully read
  70   an error of transect itself, with the text to report
  130  interrupted
""")


def test_every_target_is_named_by_the_help_of_compile(transect: Run) -> None:
    shown = transect("compile", "--help").out
    for target in TARGETS:
        assert re.search(rf"\b{target}\b", shown), target


def test_transect_alone_shows_its_help_and_is_wrong_usage(transect: Run) -> None:
    alone = transect()
    assert (alone.code, alone.out, alone.err) == (2, transect("--help").out, "")


def test_a_default_that_is_1_or_0_is_shown_too(transect: Run) -> None:
    shown = transect("llm", "simulate", "--help").out
    assert "Engines on one queue. [default: 1]" in shown
    assert "[default: 0]" in shown and "[default: 4]" in shown


def test_a_terminal_gets_bold_headings_unless_it_does_not_want_them() -> None:
    assert "\n\x1b[1mPolicies:\x1b[0m\n" in in_terminal("--help").out
    assert "\x1b" not in in_terminal("--help", NO_COLOR="1").out
    assert "\x1b" not in process("--help").out


def test_version(transect: Run) -> None:
    assert transect("--version").out == f"transect {importlib.metadata.version('transect')}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["chekc"],
            snapshot("""\
transect: no such command `chekc`; did you mean `check`?
  hint: transect --help
"""),
        ),
        (
            ["conjure"],
            snapshot("""\
transect: no such command `conjure`
  hint: transect --help
"""),
        ),
        (
            ["check"],
            snapshot("""\
transect: missing argument 'PATH'
  hint: transect check --help
"""),
        ),
        (
            ["check", "--format", "xml", "."],
            snapshot("""\
transect: invalid value for '--format': 'xml' is not one of 'text', 'json', 'sarif', 'github'
  hint: transect check --help
"""),
        ),
        (
            ["llm", "simulate", "vtc", "--runs", "0"],
            snapshot("""\
transect: invalid value for '--runs': it should be greater than or equal to 1
  hint: transect llm simulate --help
"""),
        ),
        (
            ["check", "--fromat", "json", "."],
            snapshot("""\
transect: no such option: --fromat (Possible options: --format)
  hint: transect check --help
"""),
        ),
        (["check", "nowhere.py", "gone"], snapshot("transect: no such file or folder: nowhere.py, gone\n")),
        (["compile", "gone.py", "--to", "c"], snapshot("transect: no such file: gone.py\n")),
        (["prove", "gone.py"], snapshot("transect: no such file: gone.py\n")),
        (["diff", __file__, "gone.py"], snapshot("transect: no such file: gone.py\n")),
        (["replay", "gone.log"], snapshot("transect: no such file: gone.log\n")),
        (["rpc", "run", "gone.py"], snapshot("transect: no such file: gone.py\n")),
        (
            ["rpc", "run", __file__, "--level", "loose"],
            snapshot("""\
transect: `--level` is for a plan
  hint: without `--plan` the chain runs as written
"""),
        ),
        (
            ["rpc", "run", __file__, "--carrier", "wasm", "--identity", __file__],
            snapshot("""\
transect: a WASM plugin cannot vouch for anybody: it has no files, and would have no keys
  hint: leave `--carrier` out
"""),
        ),
        (
            ["rpc", "run", __file__, "--identity", os.devnull],
            snapshot("""\
transect: --identity: /dev/null cannot be read: it is not a regular file
  hint: make one by `umask 077; openssl rand -hex 32 > identity.key`
"""),
        ),
        (["rpc", "plan", "gone.py"], snapshot("transect: no such file: gone.py\n")),
        (["rpc", "upgrade", "gone.py"], snapshot("transect: no such file: gone.py\n")),
        (["llm", "run", "-c", "gone.toml"], snapshot("transect: no such file: gone.toml\n")),
        (["llm", "run", "gone.py"], snapshot("transect: no such file: gone.py\n")),
        (["llm", "simulate", "vtc", "gone.py:Mine,limit=3"], snapshot("transect: no such file: gone.py\n")),
        (["cpu", "run", "gone.py"], snapshot("transect: no such file: gone.py\n")),
        (["memory", "upgrade", "gone.py"], snapshot("transect: no such file: gone.py\n")),
        (
            ["explain", "P06x"],
            snapshot("""\
transect: no such file: P06x
  hint: an error's code looks like P006
"""),
        ),
        (
            ["new", "acl.py"],
            snapshot("""\
transect: missing option '--for'. Choose from: rpc, llm, cpu, memory
  hint: transect new --help
"""),
        ),
    ],
)
def test_wrong_usage_ends_with_2_and_says_where_to_look(words: list[str], said: str, transect: Run) -> None:
    ended = transect(*words)
    assert (ended.code, ended.out) == (Exit.USAGE, "")
    assert ended.err == said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cpu", "run"], snapshot("transect: there is no scheduler in acl.py\n")),
        (["cpu", "simulate"], snapshot("transect: there is no scheduler in acl.py\n")),
        (["llm", "simulate"], snapshot("transect: there is no policy for LLM engines in acl.py\n")),
    ],
)
def test_a_policy_of_another_stratum_is_told_so(
    words: list[str], said: str, transect: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    transect("new", "acl.py", "--for", "rpc")
    assert transect(*words, "acl.py") == Ended(Exit.NO, "", said)


@pytest.mark.parametrize(
    "words",
    [("rpc", "run"), ("rpc", "run", "--carrier=wasm"), ("rpc", "plan"), ("cpu", "run"), ("llm", "simulate")],
)
def test_what_keeps_a_policy_from_running_is_said_on_stderr(
    words: tuple[str, ...], transect: Run, tmp_path: Path
) -> None:
    """On stdout stands what it does when it runs: addresses, measurements."""
    bad = tmp_path / "bad.py"
    bad.write_text("from transect.rpc import Chain\nchain = Chain(elements=[1])\n")
    if words[0] != "rpc":
        base = {"cpu": "transect.cpu import Scheduler", "llm": "transect.llm import Admission"}[words[0]]
        bad.write_text(f"from {base}\n\nclass Bad({base.split()[-1]}):\n    n: int = self\n")
    ended = transect(*words, bad)
    assert (ended.code, ended.out) == (Exit.NO, "")
    assert "error[" in ended.err and "bad.py" in ended.err


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_help_text_is_written_alike(words: tuple[str, ...], transect: Run) -> None:
    """Repetition is `…` and a bracket `[…]` everywhere; of what may be chosen nothing is left unsaid."""
    shown = transect(*words, "--help").out
    assert "..." not in shown and "……" not in shown and "[[" not in shown
    options = {o.name: o for o in command_of(words).params if o.param_type_name == "option"}
    for option in options.values():
        kind = option.type_descriptor.annotation
        if isinstance(kind, type) and issubclass(kind, Enum):
            assert option.metavar, (words, option.name)
            for choice in kind:
                assert re.search(rf"\b{choice.value}\b", option.help or ""), (words, option.name, choice)
    if "as_json" in options:
        assert (options["as_json"].help or "").startswith("For programs")


def broken(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """`transect doctor` meets this error."""

    def doctor() -> int:
        raise error

    monkeypatch.setattr(importlib.import_module("transect.cli.doctor"), "doctor", doctor)


def test_what_is_missing_ends_with_3(transect: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, Unavailable("gcc", "not on PATH", "apt-get install gcc"))
    ended = transect("doctor")
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == "transect: gcc: not on PATH\n  hint: apt-get install gcc\n"


def test_our_own_mistake_ends_with_70_and_the_text_to_report(
    transect: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, AssertionError("emit_c got CHECKED"))
    ended = transect("doctor")
    assert (ended.code, ended.out) == (70, "")
    head, *_, last, ruler = ended.err.splitlines()
    assert (
        head
        == "transect: this is a mistake of transect, not yours.  Please report it with the text between the lines."
    )
    assert "command: transect doctor" in ended.err
    assert f"Python {sys.version.split()[0]}" in ended.err
    assert last == "AssertionError: emit_c got CHECKED"
    assert set(ruler) == {"-"}


def test_an_interrupt_ends_with_130(transect: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch, KeyboardInterrupt())
    assert transect("doctor").code == 130


def test_a_file_that_cannot_be_written_is_no_mistake_of_ours(
    transect: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, PermissionError(13, "Permission denied", "/etc/x"))
    ended = transect("doctor")
    assert (ended.code, ended.err) == (3, "transect: /etc/x: Permission denied\n")


def test_a_reader_who_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m transect.cli explain | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=dict(os.environ))
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")


def test_what_takes_a_while_is_said_in_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    with working("measuring") as ready:
        ready()
        print("done")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("done\n", "")
    code = "from transect.cli.progress import working\nwith working('measuring') as ready: ready(); print('done')"
    shown = in_terminal(code=code)
    assert "measuring …" in shown.out
    assert shown.out.rstrip().endswith("done")
