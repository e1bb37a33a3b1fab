# SPDX-License-Identifier: Apache-2.0
"""`transect llm config` prints every setting, and what it prints is a configuration; `transect check` reads one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from tests.unit.cli.terminal import Run
from transect.base.shipped import path_of
from transect.llm.config import Config, parse
from transect.llm.config_text import settings
from transect.llm.gateway.settings import GatewayConfig
from transect.llm.keys import hash_of


@pytest.mark.parametrize("of", [Config, GatewayConfig])
def test_what_is_printed_is_a_configuration_of_defaults(of: type[Config]) -> None:
    assert parse(settings(of), Path("c.toml"), of) == of()


def test_each_setting_is_there_with_what_it_is_for() -> None:
    text = settings(GatewayConfig)
    for name in GatewayConfig.__struct_fields__:
        assert f"{name} = " in text or f"[{name}]" in text or f"[[{name}]]" in text or f"[{name}." in text
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith("# From"):
            above = lines[number - 1]
            assert above.startswith("# ") and above.endswith(")"), f"{line!r} is not explained"


def test_the_first_lines() -> None:
    assert settings(Config).partition("# Prompt")[0] == snapshot("""\
# The name of an example policy, or a file relative to this one (`file.py`, `file.py:Name`). (text)
policy = "vtc"
# Of the instance, for `transect llm status NAME`. (text, at most 64 characters)
# name = …
""")


def test_as_json_schema(transect: Run) -> None:
    schema = json.loads(transect("llm", "config", "--schema", "--engine").out)
    assert "tenants" in schema["$defs"]["Config"]["properties"]
    assert "upstreams" not in schema["$defs"]["Config"]["properties"]


@pytest.fixture
def checked(transect: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`checked(text)`: `transect check` of a file with that text."""
    monkeypatch.chdir(tmp_path)

    def check(*text: str) -> object:
        Path("g.toml").write_text(text[0])
        return transect("check", "g.toml")

    return check  # type: ignore[return-value]


def test_a_good_one(checked: Run) -> None:
    assert checked('policy = "rpm"\nparams = { limit = 3 }\n').out == "1 configuration in 1 file, no errors\n"


def test_a_policy_and_parameters_that_are_not_there(checked: Run) -> None:
    assert checked('listen = "0.0.0.0:80"\npolicy = "vtcc"\n').out == snapshot("""\
error[S031]: no example policy `vtcc`
 --> g.toml:2:1
  |
2 | policy = "vtcc"
  | ^^^^^^^^^^^^^^^
  = help: did you mean `vtc`?

1 error; `transect explain S031` tells more
""")
    assert checked('policy = "rpm"\nparams = { limt = 3 }\n').out == snapshot("""\
error[S031]: Rpm has no parameter `limt`
 --> g.toml:2:1
  |
2 | params = { limt = 3 }
  | ^^^^^^^^^^^^^^^^^^^^^
  = help: did you mean `limit`?

1 error; `transect explain S031` tells more
""")
    assert "`int` is wanted" in checked('policy = "rpm"\n[params]\nlimit = "x"\n').out
    assert "no such file: mine.py" in checked('policy = "mine.py"\n').out


def test_mistakes_of_the_policy_are_shown_in_its_own_file(checked: Run) -> None:
    Path("mine.py").write_text(
        "from transect.llm import Admission\n\n\nclass Mine(Admission):\n    def pick(self) -> int:\n"
        "        return self.nobody\n"
    )
    said = checked('policy = "mine.py"\n')
    assert said.code == 1
    assert "--> mine.py:6" in said.out


def test_several_policies_need_a_name(checked: Run) -> None:
    one = path_of("fair_share").read_text()
    Path("two.py").write_text(one + one.partition("Client\n")[2].replace("FairShare", "Other"))
    assert "`two.py` is not one policy for serving" in checked('policy = "two.py"\n').out
    assert checked('policy = "two.py:Other"\n').code == 0


def test_a_file_that_cannot_be_read(transect: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("g.toml").write_bytes(b"\xff")
    assert "error[S030]: it cannot be read" in transect("check", "g.toml").out


# ---------------------------------------------------------------- keys


def test_a_key_fits_the_hash_that_is_added(transect: Run, tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    path.write_text('policy = "vtc"')
    said = transect("llm", "key", "new", "ann@acme", "--add-to", path)
    assert said.code == 0
    (key,) = re.findall(r"tsk-\S+", said.out)
    config: Config = parse(path.read_text(), path)
    assert config.tenants["ann@acme"].keys == (hash_of(key),)
    assert key not in path.read_text() and '[tenants."ann@acme"]' in path.read_text()
    transect("llm", "key", "new", "gold", "--add-to", path)
    assert "\n[tenants.gold]\n" in path.read_text(), "as `transect llm config` writes it"


def test_a_tenant_that_is_there_is_left_alone(transect: Run, tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    assert transect("llm", "key", "new", "ann", "--add-to", path).code == 0
    before = path.read_text()
    again = transect("llm", "key", "new", "ann", "--add-to", path)
    assert again.code == 1
    assert "add the hash to its `keys`" in again.err
    assert "sha256:" in again.out
    assert path.read_text() == before


def test_a_key_for_nobody(transect: Run, tmp_path: Path) -> None:
    assert "no name of a tenant" in transect("llm", "key", "new", "two words").err
    (tmp_path / "bad.toml").write_text("polcy = 1")
    assert (
        "did you mean `policy`?"
        in transect("llm", "key", "new", "ann", "--add-to", tmp_path / "bad.toml").out
    )
    assert transect("llm", "key", "new", "ann", "--add-to", tmp_path / "no" / "g.toml").code == 2
