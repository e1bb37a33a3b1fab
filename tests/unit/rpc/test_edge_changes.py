# SPDX-License-Identifier: Apache-2.0
"""How several processors change together when some of them refuse, or go: what each is asked, and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from transect.base.unavailable import Unavailable
from transect.control.client import ControlError
from transect.control.protocol import Refused
from transect.rpc.versions import edge as edges
from transect.rpc.versions.alone import alone
from transect.rpc.versions.edge import Edge, InDoubt, Unfinished

CHAIN = """
from transect.rpc import Chain, Element

class Plain(Element):
    pass

chain = Chain(service="a.B", upstream="127.0.0.1:1", elements=[Plain()])
"""

DEAD = ControlError("the instance `shop` does not answer")


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
                return {"taken": {}, "fields": {}, "elements": []}
            case "edge-named":
                return {"version": "1", "stamps": False, "staged": "", "kept": [], "came": []}
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
    with pytest.raises(ControlError, match="does not answer; version 1 stays in force"):
        upgraded(tmp_path, first, last)
    assert "commit" not in last.asked and last.asked[-1] == "drop"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (Refused("no", "do this"), r"no \(do this; version 1 stays in force\)"),
        (Unavailable("web", "it is not there", "run it"), r"web: it is not there; version 1 stays in force"),
        (DEAD, "does not answer; version 1 stays in force"),
    ],
)
def test_who_is_told_that_nothing_came_of_it_is_told_what_is_in_force(
    tmp_path: Path, wrong: Exception, said: str
) -> None:
    with pytest.raises(type(wrong), match=said):
        upgraded(tmp_path, Fake("stage", wrong), Fake())


class Part(Fake):
    """A processor that knows versions; its answer to one verb is lost, `done` or not, and `gone` is it from then on."""

    def __init__(self, version: str = "", lost: str = "", done: bool = True, gone: bool = False) -> None:
        super().__init__()
        self.now, self.staged, self.kept = version, "", list[str]()
        self.stamps = False
        self.lost, self.done, self.gone = lost, done, gone
        self.away = False

    def __call__(self, verb: str, **arguments: Any) -> Any:
        if self.away:
            raise DEAD
        if verb != f"edge-{self.lost}":
            return self.does(verb, **arguments)
        self.lost, self.away = "", self.gone
        if self.done:
            self.does(verb, **arguments)
        raise DEAD

    def does(self, verb: str, **arguments: Any) -> Any:
        match verb, arguments:
            case "edge-named", _:
                return {
                    "version": self.now,
                    "stamps": self.stamps,
                    "staged": self.staged,
                    "kept": list(self.kept),
                    "came": [],
                }
            case "edge-stage", {"version": version}:
                self.staged = version
            case "edge-drop", _:
                self.staged = ""
            case "edge-commit", {"version": version}:
                if version != self.staged:
                    raise Refused("it is not staged")
                self.kept.append(self.now)
                self.now, self.staged = version, ""
            case "edge-join", {"version": version, "stamps": stamps}:
                self.now, self.stamps, self.staged = version, stamps, ""
            case "edge-end", {"version": version}:
                self.kept = [one for one in self.kept if one != version]
        return super().__call__(verb, **arguments)

    @property
    def takes(self) -> set[str]:
        """The names that RPCs may have."""
        return {self.now, self.staged, *self.kept} - {""}


def asked(folder: Path, *parts: Part) -> Edge:
    """As another command does it."""
    edge = Edge(parts)
    edge.agree()
    edge.upgrade([chain_at(folder) for _ in parts])
    return edge


def chain_at(folder: Path) -> Path:
    (folder / "chain.py").write_text(CHAIN)
    return folder / "chain.py"


def test_a_lost_answer_of_the_first_one_is_asked_for_again(tmp_path: Path) -> None:
    first, last = Part(lost="commit"), Part()
    assert asked(tmp_path, first, last).version == 2
    assert first.takes == last.takes == {"2"}
    first, last = Part(lost="commit", done=False), Part()
    with pytest.raises(ControlError, match="version 1 stays in force"):
        asked(tmp_path, first, last)
    assert first.takes == last.takes == {"1"}


@pytest.mark.parametrize("done", [True, False])
def test_while_nobody_knows_what_the_first_one_names_the_others_take_both(tmp_path: Path, done: bool) -> None:
    first, last = Part(lost="commit", done=done, gone=True), Part()
    with pytest.raises(InDoubt, match="whether version 1 or 2 is in force is not known"):
        asked(tmp_path, first, last)
    assert last.takes == {"1", "2"} >= {first.now}
    first.away = False
    assert asked(tmp_path, first, last).version == 3, "the advice was to give the command again"
    assert first.takes == last.takes == {"3"}


class Killed(BaseException):
    """No answer, and nobody who hears it."""


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("verb", ["join", "named", "stage", "commit", "images", "end"])
@pytest.mark.parametrize("done", [True, False])
def test_wherever_a_command_is_killed_all_take_what_the_first_one_names_and_the_next_command_ends_it(
    tmp_path: Path, verb: str, place: int, done: bool
) -> None:
    parts = [Part(), Part(), Part()]
    asked(tmp_path, *parts)
    parts[2].now = "" if verb == "join" else parts[2].now  # it has started anew

    def killed(of: str, **arguments: Any) -> Any:
        if of != f"edge-{verb}":
            return parts[place](of, **arguments)
        if done:
            parts[place](of, **arguments)
        raise Killed

    asks = [killed if index == place else part for index, part in enumerate(parts)]
    edge = Edge(asks)
    if verb == "join" and place < 2:
        edge.agree()  # nobody is asked to
    else:
        with pytest.raises(Killed):
            edge.agree()
            edge.upgrade([chain_at(tmp_path) for _ in parts])
    named = parts[0].now
    assert all(named in part.takes or not part.now for part in parts)
    was = parts[0].now
    again = asked(tmp_path, *parts)
    assert all(part.takes == {str(again.version)} for part in parts)
    assert again.version > int(was)


def test_a_version_that_was_made_ready_is_never_made_again_under_its_name(tmp_path: Path) -> None:
    first, last = Part(), Part()
    edge = Edge([first, last])
    edge.agree()
    names: list[str] = []

    def refuses(verb: str, **arguments: Any) -> Any:
        if verb == "edge-stage":
            names.append(arguments["version"])
            raise Refused("no")
        return first(verb, **arguments)

    edge.processors = [refuses, last]
    for _ in range(3):
        with pytest.raises(Refused):
            edge.upgrade([chain_at(tmp_path)] * 2)
    assert names == ["2", "3", "4"]
    assert first.takes == last.takes == {"1"}


@pytest.mark.parametrize(
    "nonsense",
    [None, 7, "text", [], {}, {"version": 1, "stamps": False, "staged": "", "kept": []}, {"version": "1"}],
)
def test_a_processor_that_answers_nonsense_is_told_of_and_nothing_has_changed(
    tmp_path: Path, nonsense: Any
) -> None:
    for verb in ("edge-named", "edge-stage", "edge-state"):
        part, other = Part(), Part()
        asked(tmp_path, part, other)

        def answers(
            of: str, *, verb: str = verb, part: Part = part, **arguments: Any
        ) -> Any:  # bound at once
            told = part(of, **arguments)
            return nonsense if of == verb else told

        if (verb, nonsense) == ("edge-state", []):
            continue  # it has no elements
        edge = Edge([other, answers])
        with pytest.raises(ControlError, match=f"processor 2 answers `{verb}` wrongly"):
            edge.agree()
            edge.upgrade([chain_at(tmp_path)] * 2)
        assert part.takes == other.takes == {"2"}


def test_policies_alone_are_a_version_too(tmp_path: Path) -> None:
    """A file without a chain has policies that take the place of those of the same names."""
    policies = tmp_path / "policies.py"
    policies.write_text("from transect.rpc import Element\n\nclass Plain(Element):\n    pass\n")
    edge = Edge([Fake(), Fake()])
    edge.upgrade([policies, policies])
    assert edge.version == 2


def test_one_command_at_a_time_changes_an_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transect.control.sockets.folder", lambda: tmp_path / "run")
    with alone(["web", "shop"]):
        with pytest.raises(Refused, match="another `transect rpc upgrade` changes `shop`"), alone(["shop"]):
            pass
        with alone(["other"]):
            pass
    with alone(["shop"]):
        pass


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
