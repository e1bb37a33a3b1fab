# SPDX-License-Identifier: Apache-2.0
"""How several processors change together when some of them refuse, or go: what each is asked, and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from transect.control.client import ControlError
from transect.control.protocol import Refused
from transect.rpc.versions import edge as edges
from transect.rpc.versions.edge import Edge, Unfinished

CHAIN = """
from transect.rpc import Chain, Element

class Plain(Element):
    pass

chain = Chain(service="a.B", upstream="127.0.0.1:1", elements=[Plain()])
"""


class Fake:
    """A processor without elements of its own, that fails at one verb."""

    def __init__(self, at: str = "", error: Exception | None = None, busy: int = 0) -> None:
        self.at, self.error, self.busy = at, error, busy
        self.asked: list[str] = []

    def __call__(self, verb: str, **arguments: Any) -> Any:
        self.asked.append(verb.removeprefix("edge-"))
        if verb == f"edge-{self.at}" and self.error is not None:
            raise self.error
        match verb:
            case "edge-state":
                return []
            case "edge-stage":
                return {"taken": {}, "fields": {}}
            case "edge-images":
                self.busy -= self.busy > 0
                return {"images": [], "open": self.busy, "settled": True}
        return None


def upgraded(folder: Path, *fakes: Fake, **more: Any) -> Edge:
    files = [folder / f"{number}.py" for number in range(len(fakes))]
    for file in files:
        file.write_text(CHAIN)
    edge = Edge(fakes)
    edge.upgrade(files, **more)
    return edge


DEAD = ControlError("the instance `shop` does not answer")


def test_in_order(tmp_path: Path) -> None:
    first, last = Fake(), Fake()
    assert upgraded(tmp_path, first, last).version == 2
    for one in (first, last):
        assert list(dict.fromkeys(one.asked)) == ["state", "stage", "commit", "images", "end"]


@pytest.mark.parametrize("error", [Refused("no"), DEAD])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_who_does_not_make_itself_ready_keeps_all_from_changing(
    tmp_path: Path, place: int, error: Exception
) -> None:
    fakes = [Fake(*(("stage", error) if index == place else ())) for index in range(3)]
    with pytest.raises(type(error)):
        upgraded(tmp_path, *fakes)
    assert all("commit" not in fake.asked and fake.asked[-1] == "drop" for fake in fakes)


def test_the_first_one_decides(tmp_path: Path) -> None:
    first, last = Fake("commit", DEAD), Fake()
    with pytest.raises(ControlError, match="does not answer"):
        upgraded(tmp_path, first, last)
    assert "commit" not in last.asked and last.asked[-1] == "drop"


@pytest.mark.parametrize("verb", ["commit", "images", "end"])
def test_one_that_goes_after_that_is_named_and_the_others_go_on(tmp_path: Path, verb: str) -> None:
    first, gone, last = Fake(), Fake(verb, DEAD), Fake()
    with pytest.raises(Unfinished, match="processor 2: the instance `shop` does not answer"):
        upgraded(tmp_path, first, gone, last)
    assert first.asked[-1] == last.asked[-1] == "end"
    assert gone.asked.count(verb) == 1, "nobody waits for it again"


def test_long_calls_are_waited_for_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "PATIENCE_S", 0.0)
    monkeypatch.setattr(edges, "LOOK_S", 0.0)
    said: list[str] = []
    assert upgraded(tmp_path, Fake(busy=9), Fake(), waiting=said.append).version == 2
    assert said == ["1"]
