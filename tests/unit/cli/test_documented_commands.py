# SPDX-License-Identifier: Apache-2.0
"""What the documentation says of reaching a running instance is what the command line understands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from transect.cli import app
from transect.cli.live import set as live_set
from transect.cli.live import status as live_status
from transect.cli.live import upgrade as live_upgrade

ROOT = Path(__file__).parents[3]
COMMAND = re.compile(r"transect (rpc|llm|cpu|memory) (status|set|upgrade)(?: [\w.=-]+)+(?=`|$|  )", re.M)
OTHERWISE = "transect rpc upgrade"  # a verb of rpc's own
WORDS = frozenset({"shows"})  # of a sentence that begins with a command


def _documented() -> Iterator[tuple[str, str]]:
    """Each command of the documentation, and where it stands."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for found in COMMAND.finditer(path.read_text()):
            if WORDS.isdisjoint(found[0].split()) and not found[0].startswith(OTHERWISE):
                yield f"{path.name}: {found[0].strip()}", found[0]


class Instance:
    """A running instance that does as it is asked."""

    def status(self) -> dict[str, Any]:
        return {"name": "it", "policies": [], "details": {}}

    def set(self, param: str, value: str) -> dict[str, Any]:
        return {"param": param, "before": "0", "after": value}

    def upgrade(self, *given: Any, **how: Any) -> dict[str, Any]:
        return {"before": 1, "after": 2, "policies": [], "details": {}}

    def shadow(self, path: Path) -> dict[str, Any]:
        return {"file": str(path)}


DOCUMENTED = dict(_documented())


def test_the_documentation_reaches_instances() -> None:
    for stratum in ("llm upgrade", "llm set", "llm status", "cpu upgrade", "cpu set", "rpc set"):
        assert any(f"transect {stratum}" in command for command in DOCUMENTED.values()), stratum


@pytest.mark.parametrize("place", DOCUMENTED)
def test_a_documented_command_is_understood(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(DOCUMENTED[place])[1:]
    named: list[str | None] = []

    def instance(stratum: str, name: str | None) -> Instance:
        named.append(name)
        return Instance()

    for module in (live_set, live_status, live_upgrade):
        monkeypatch.setattr(module, "instance", instance)
    for word in words:
        if word.endswith(".py"):
            (tmp_path / word).write_text("")
    monkeypatch.chdir(tmp_path)
    assert app.run(words) == 0, capsys.readouterr().err
    assert len(named) == 1 and not str(named[0]).endswith(".py")
