# SPDX-License-Identifier: Apache-2.0
"""What a stack file may say: each wrong value is a diagnostic at its place, which says what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.base.render import render_text
from transect.base.shipped import path_of
from transect.errors import page
from transect.stack.changes import What, changes
from transect.stack.file import read_stack
from transect.stack.model import StackFile
from transect.stack.process import command

HEAD = """\
from transect.examples.fair_share import FairShare
from transect.examples.rpc.acl import Acl
from transect.stack import Cores, Front, Gateway, Program, Stack, Watch

"""
FRONT = """\
from transect.examples.rpc.null import Null
from transect.rpc import Chain

chain = Chain(service="shop.Shop", upstream="127.0.0.1:50051", listen="127.0.0.1:8080", elements=[Null()])
"""
GATEWAY = '[[upstreams]]\nurl = "http://127.0.0.1:9000"\n'
ONE = 'Program(name="shop", command=["python", "shop.py"])'
TENANTS = 'tenants={"alice": 400}, '


def read(folder: Path, parts: str = ONE, more: str = "") -> tuple[StackFile | None, str]:
    (folder / "front.py").write_text(FRONT)
    (folder / "anywhere.py").write_text(FRONT.replace(' listen="127.0.0.1:8080",', ""))
    (folder / "gateway.toml").write_text(GATEWAY)
    (folder / "named.toml").write_text('policy = "vtc"\n' + GATEWAY)
    (folder / "weighed.toml").write_text(GATEWAY + "[tenants.alice]\nweight = 300\n")
    (folder / "tenants.toml").write_text("[tenants]\nalice = 400\n")
    path = folder / "stack.py"
    path.write_text(f"{HEAD}stack = Stack({more}parts=[{parts}])\n")
    found = read_stack(path)
    assert (found.stack is None) == found.diagnostics.failed
    return found.stack, render_text(found.diagnostics, found.sources)


def test_parts_become_commands_with_instances_of_the_stacks_name(tmp_path: Path) -> None:
    parts = 'Front(chain="front.py", workers=2), Gateway(config="gateway.toml"), Watch(targets=["ram:a", "ram:b"])'
    stack, told = read(tmp_path, parts, 'share=FairShare(), tenants={"alice": 400}, ')
    assert stack is not None, told
    front, gateway, watch = stack.parts
    assert front.command == (
        "rpc",
        "run",
        str(tmp_path / "front.py"),
        "--name",
        "stack.front",
        "--workers",
        "2",
    )
    assert front.instances == ("stack.front",)
    assert gateway.command[2].endswith("fair_share.py"), "what the stack shares by"
    assert watch.instances == ("stack.watch", "stack.watch-2")
    assert stack.weights == {"alice": 400}


def test_each_part_that_can_vouch_has_the_keys_of_the_stack(tmp_path: Path) -> None:
    (tmp_path / "identity.key").touch(0o600)
    (tmp_path / "identity.key").write_text("ab" * 32)
    parts = f'{ONE}, Front(chain="front.py"), Gateway(config="gateway.toml")'
    stack, told = read(tmp_path, parts, 'identity="identity.key", ')
    assert stack is not None, told
    key = tmp_path / "identity.key"
    assert stack.parts[0].identity == key
    assert [part.command[-2:] for part in stack.parts[1:]] == [("--identity", str(key))] * 2


def test_a_policy_that_a_part_names_itself_stays(tmp_path: Path) -> None:
    stack, told = read(tmp_path, 'Gateway(config="named.toml")', "share=FairShare(), ")
    assert stack is not None, told
    assert stack.parts[0].command[:3] == ("llm", "run", "-c")


def test_weights_may_stand_in_a_file(tmp_path: Path) -> None:
    stack, told = read(tmp_path, ONE, 'tenants="tenants.toml", ')
    assert stack is not None, told
    assert (stack.weights, stack.tenants) == ({"alice": 400}, tmp_path / "tenants.toml")


def test_without_tenants_a_gateway_keeps_its_own_weights(tmp_path: Path) -> None:
    stack, told = read(tmp_path, 'Gateway(config="weighed.toml")')
    assert stack is not None, told
    assert not stack.parts[0].weighted
    with_tenants, told = read(tmp_path, 'Gateway(config="weighed.toml")', 'tenants={"alice": 300}, ')
    assert with_tenants is not None, told
    assert [change.what for change in changes(stack, with_tenants)] == [What.ANEW]


def test_a_scheduler_that_has_lanes_for_tenants_has_the_weights(tmp_path: Path) -> None:
    for name in ("by_tenant", "weighted_fair"):
        (tmp_path / f"{name}.py").write_text(path_of(name).read_text())
    lanes, plain = 'Cores(policy="by_tenant.py")', 'Cores(policy="weighted_fair.py")'
    found = {}
    for parts, more in ((lanes, ""), (lanes, TENANTS), (plain, TENANTS)):
        stack, told = read(tmp_path, parts, more)
        assert stack is not None, told
        found[parts, more] = stack
    assert [stack.parts[0].weighted for stack in found.values()] == [False, True, False]
    command_line = command(found[lanes, TENANTS].parts[0], tmp_path / "weights.toml")
    assert command_line[-2:] == ["--tenants", str(tmp_path / "weights.toml")]
    anew = changes(found[plain, TENANTS], found[lanes, TENANTS])
    assert [change.what for change in anew] == [What.ANEW], "its command is another one"


@pytest.mark.parametrize(
    ("parts", "more", "told"),
    [
        ("", "", "`parts` is a list of parts"),
        ("Acl()", "", "this is no part"),
        ("3", "", "this is no part"),
        (ONE, 'tenants={"alice": 0}, ', "`alice` is of another kind"),
        (ONE, 'tenants={"alice": True}, ', "`alice` is of another kind"),
        (ONE, 'tenants={"alice": 1.5}, ', "`alice` is of another kind"),
        (ONE, 'tenants={"alice": 2 * 50}, ', "`alice` is computed"),
        (ONE, 'tenants={"alice": 1, "alice": 2}, ', "`alice` has two weights"),
        (ONE, 'tenants={"a b": 1}, ', "this is no name of a tenant"),
        (ONE, "tenants={**x}, ", "this is no name of a tenant"),
        (ONE, 'tenants="nobody.toml", ', "`nobody.toml` cannot be read"),
        (ONE, 'tenants="gateway.toml", ', "has no table `[tenants]`"),
        (ONE, "tenants=3, ", "`tenants` says who has which weight"),
        (ONE, "share=Acl(), ", "`Acl` is a policy of another kind (`rpc.Element`)"),
        (ONE, "share=Nobody(), ", "unknown policy `Nobody`"),
        (ONE, "share=FairShare(3), ", "`share` is a policy"),
        (ONE, "size=3, ", "`Stack` has no `size`"),
        (ONE, "**more, ", "`Stack` has no `**`"),
        (ONE, "3, ", "`Stack` takes keywords"),
        ('Front(chain="nobody.py")', "", "there is no file `nobody.py`"),
        ('Front(chain="anywhere.py")', "", "listens at any free port"),
        ('Front(chain="front.py", workers=0)', "", "`workers` is out of range"),
        ('Front(chain="front.py", workers="2")', "", "`workers` is of another kind"),
        ('Front(chain="front.py", name="a/b")', "", "cannot be the name of a part"),
        ('Front(chain="front.py"), Front(chain="front.py")', "", "two parts have the name `front`"),
        ("Front()", "", "`Front` has no `chain`"),
        ('Front(chain="stack.py")', "", "declares no chain"),
        ('Gateway(config="weighed.toml")', 'tenants={"alice": 400}, ', "say it once"),
        ('Cores(policy="front.py", cpus=65)', "", "`cpus` is out of range"),
        ("Watch(targets=[])", "", "`targets` names nobody"),
        ('Watch(targets=["ram:a"], budget="much")', "", "`much` is no size"),
        ('Watch(targets=["ram:a"], every=-1.0)', "", "`every` is out of range"),
        ('Program(name="x", command=[])', "", "`command` names no program"),
        ('Program(name="x", command=[""])', "", "`command` names no program"),
        ('Program(name="x", command=["a\\0b"])', "", "no program can be given this word"),
        ('Program(name="x", command=["ls", "\\ud800"])', "", "no program can be given this word"),
        (ONE, 'tenants="a\\0b", ', "no file can have that name"),
        (ONE, 'identity="\\ud800", ', "no file can have that name"),
        ('Program(name="x", command="ls")', "", "`command` is of another kind"),
        ('Program(name="x", command=["ls"], ready="nowhere")', "", "`nowhere` is no address"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_place(tmp_path: Path, parts: str, more: str, told: str) -> None:
    stack, said = read(tmp_path, parts, more)
    assert stack is None
    assert told in said
    assert "= help: " in said


def test_a_file_without_a_stack_says_so(tmp_path: Path) -> None:
    path = tmp_path / "stack.py"
    path.write_text("stacks = 3\n")
    found = read_stack(path)
    assert "declares no stack" in render_text(found.diagnostics, found.sources)


@pytest.mark.parametrize("mark", ["bad", "good"])
def test_the_examples_of_the_page_are_what_it_says(tmp_path: Path, mark: str) -> None:
    written = page("T001")
    assert written is not None
    (text,) = written.examples(mark)
    path = tmp_path / "stack.py"
    path.write_text(text)
    assert {d.code for d in read_stack(path).diagnostics} == ({"T001"} if mark == "bad" else set())
