# SPDX-License-Identifier: Apache-2.0
"""A policy in force: recorded calls replay exactly, and another version takes over while requests wait."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from transect.base.shipped import path_of
from transect.base.unavailable import Unavailable
from transect.control import Operated
from transect.control.protocol import Refused as NoUpgrade
from transect.core.upgrade import Refused
from transect.lang.functions import PolicyError
from transect.llm.adapter import INPUT, OUTPUT
from transect.llm.config import Config, Identity, Tenant
from transect.llm.hooks import Request
from transect.llm.host import LlmHost
from transect.llm.metrics import exposition
from transect.llm.native import NativePolicy, image
from transect.llm.replay import LlmDecoder
from transect.llm.request import FIELDS, Held
from transect.llm.service import FORGOTTEN, Service
from transect.replay import compare, read

BOUND = max(INPUT * 100, OUTPUT * 1000)
NAMES = ("ann", "ben", "cleo", "dan")


class Rig:
    """A service under random work: what an engine does, without one."""

    def __init__(self, policy: str, folder: Path, **params: Any) -> None:
        tenants = {name: Tenant(weight=100 + 50 * i, group="org") for i, name in enumerate(NAMES)}
        config = Config(policy=policy, tenants=tenants, params=params, bound="observe")
        self.running: list[Held] = []
        self.service = Service(config, folder, bound=BOUND, running=lambda: self.running)
        self.random = random.Random(7)
        self.picked: list[object] = []

    def arrive(self) -> None:
        client = self.service.tenants.by_name(self.random.choice(NAMES))
        assert client is not None
        self.service.queues.add(
            Held(
                client.number,
                self.random.randint(1, 90),
                limit=50,
                reserved=50,
                weight=client.weight,
                group=client.group,
            )
        )

    def step(self) -> None:
        """Admit, produce, sometimes preempt, abort or finish."""
        queues, draw = self.service.queues, self.random.random
        while len(self.running) < 4 and queues.peek() is not None:
            self.running.append(queues.pop())
            self.picked.append(self.running[-1].client)
        for request in list(self.running):
            queues.produced(request, 1)
            if draw() < 0.05:
                self.running.remove(request)
                queues.put_back(request)
            elif draw() < 0.2:
                self.running.remove(request)
                queues.finish(request)
        self.service.watch()

    def work(self, steps: int) -> None:
        for _ in range(steps):
            while self.random.random() < 0.6:
                self.arrive()
            self.step()


def test_the_log_holds_every_field_of_a_request() -> None:
    assert set(FIELDS) == {name for name in get_type_hints(Request) if not name.startswith("_")}


@pytest.mark.parametrize(
    "policy", ["fair_share", "vtc", "fcfs", "lcf", "vtc_predict", "deficit", "rpm", "hierarchical", "lanes"]
)
def test_what_is_recorded_replays_to_the_last_bit(policy: str, tmp_path: Path) -> None:
    rig = Rig(policy, tmp_path)
    rig.work(30)
    rig.service.record(tmp_path / "log", "rig", real=False)
    rig.work(60)
    rig.service.end_record()
    log = read(tmp_path / "log")
    found = compare(log, LlmDecoder(log))
    assert found.divergence is None
    assert found.same, found.open
    assert found.calls == len(log.records) > 60


def test_another_policy_is_compared_call_by_call(tmp_path: Path) -> None:
    rig = Rig("vtc", tmp_path)
    rig.service.record(tmp_path / "log", "rig", real=False)
    rig.work(60)
    rig.service.end_record()
    from transect.core.frontend import compile_file

    log = read(tmp_path / "log")
    text = path_of("vtc").read_text()
    (tmp_path / "worst.py").write_text(text.replace("return min(", "return max("))
    other = compile_file(tmp_path / "worst.py")
    found = compare(log, LlmDecoder(log), program=other.programs[0])
    assert found.divergence is not None
    assert "comes out, where" in found.divergence.message


def test_neither_prompts_nor_outputs_can_be_in_a_log() -> None:
    """A record's request is numbers only."""
    assert all(
        kind is int or kind.__name__ in ("Client", "Group") for kind in get_type_hints(Request).values()
    )


# ---------------------------------------------------------------- another version, while requests wait


def changed(tmp_path: Path, name: str, old: str, new: str) -> Path:
    text = path_of(name).read_text()
    assert old in text
    path = tmp_path / f"{name}_new.py"
    path.write_text(text.replace(old, new))
    return path


def test_a_new_version_keeps_counters_and_who_waits(tmp_path: Path) -> None:
    rig = Rig("vtc", tmp_path)
    rig.work(40)
    before = image(rig.service.policy)
    waiting = list(rig.service.queues.clients())
    old = rig.service.program.source_hash
    done = rig.service.upgrade(changed(tmp_path, "vtc", "class Vtc", "# newer\nclass Vtc"))
    assert image(rig.service.policy) == before
    assert list(rig.service.policy.waiting) == waiting != []
    assert not done.anew
    assert rig.service.program.source_hash != old
    rig.work(40)
    assert rig.service.watcher.beyond == 0


def test_a_recording_goes_on_across_an_upgrade(tmp_path: Path) -> None:
    rig = Rig("vtc", tmp_path)
    rig.service.record(tmp_path / "log", "rig", real=False)
    rig.work(30)
    rig.service.upgrade(path_of("fcfs"))
    rig.work(30)
    rig.service.end_record()
    log = read(tmp_path / "log")
    assert len(log.policies) == 2
    found = compare(log, LlmDecoder(log))
    assert found.same, found.open
    assert found.calls == len(log.records)


def test_a_policy_of_another_kind_is_told_of_all_who_wait(tmp_path: Path) -> None:
    rig = Rig("vtc", tmp_path)
    rig.work(50)
    heads = {r.client: r.number for r in rig.service.queues.heads()}
    assert len(heads) > 1
    assert rig.service.upgrade(path_of("fcfs")).anew
    chosen = rig.service.queues.peek()
    assert chosen is not None and chosen.number == min(heads.values())


def test_a_version_that_is_wrong_leaves_the_old_one(tmp_path: Path) -> None:
    rig = Rig("vtc", tmp_path)
    rig.work(20)
    policy = rig.service.policy
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from transect.llm import Admission\n\nclass Broken(Admission):\n    served: int = text\n"
    )
    with pytest.raises(PolicyError):
        rig.service.upgrade(broken)
    with pytest.raises(Refused):
        rig.service.upgrade(changed(tmp_path, "lcf", "served", "last"))
    assert rig.service.policy is policy
    rig.work(20)


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("policy", ["vtc", "fair_share", "lcf", "deficit", "lanes"])
def test_machine_code_serves_as_python_does(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Rig(policy, tmp_path)
    assert machine.service.python_because == "" and isinstance(machine.service.policy, NativePolicy)
    assert LlmHost(machine.service, "rig").told()["policies"][0]["runs_as"] == "machine code"
    monkeypatch.setattr("transect.llm.native.obstacle", lambda program: "the test says so")
    python = Rig(policy, tmp_path)
    assert python.service.python_because == "the test says so"
    said = LlmHost(python.service, "rig").told()
    assert said["policies"][0]["runs_as"] == "Python: the test says so"
    machine.work(120)
    python.work(120)
    assert machine.picked == python.picked and len(machine.picked) > 50
    assert image(machine.service.policy) == image(python.service.policy)


@pytest.mark.needs("gcc")
def test_counters_go_from_machine_code_to_python_and_back(tmp_path: Path) -> None:
    rig = Rig("vtc", tmp_path)
    rig.work(40)
    counters = [rig.service.counter_of(number) for number in range(len(NAMES))]
    rig.service.upgrade(path_of("vtc_predict"))
    assert rig.service.python_because == "it keeps values with each request"
    assert [rig.service.counter_of(number) for number in range(len(NAMES))] == counters
    rig.work(40)
    rig.service.upgrade(path_of("vtc"))
    assert rig.service.python_because == ""
    rig.work(40)


def test_without_a_compiler_it_says_so_and_runs_as_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    rig = Rig("vtc", tmp_path)
    assert rig.service.python_because == "neither cc nor gcc is on PATH"
    rig.work(20)


@pytest.mark.needs("gcc")
def test_where_others_could_have_put_its_machine_code_it_runs_as_python_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared))
    assert Rig("vtc", tmp_path).service.python_because == ""
    assert caplog.text == ""
    shared.chmod(0o777)
    rig = Rig("vtc", tmp_path)
    assert rig.service.python_because == "others may write there (mode 777)"
    assert "runs as emitted Python: the cache in" in caplog.text and f"chmod go-w {shared}" in caplog.text
    rig.work(20)


def test_where_counters_are_shared_only_policies_with_counters_come_into_force(tmp_path: Path) -> None:
    config = Config(policy="vtc", tenants={"ann": Tenant()})
    service = Service(config, tmp_path, bound=BOUND, running=lambda: (), shared=True)
    chooser = service.queues.chooser
    with pytest.raises(Unavailable, match="no counter of service"):
        service.upgrade(path_of("fcfs"))
    assert service.queues.chooser is chooser and service.program.name == chooser.program.name
    with pytest.raises(Unavailable, match="no counter of service"):
        Service(Config(policy="fcfs"), tmp_path, bound=BOUND, running=lambda: (), shared=True)


def test_state_that_could_not_go_back_is_refused_unless_that_is_not_wanted(tmp_path: Path) -> None:
    rig = Rig("vtc", tmp_path)
    rig.work(20)
    host = Operated("llm", "rig", LlmHost(rig.service, "rig"))
    newer = changed(tmp_path, "vtc", "    last: Client | None = None", "    final: Client | None = None")
    newer.write_text(newer.read_text().replace("self.last", "self.final"))
    with pytest.raises(NoUpgrade) as refused:
        host.upgrade(str(newer))
    assert "`last` is dropped by the new version" in refused.value.why and "--no-return" in refused.value.hint
    assert rig.service.version == 1
    host.upgrade(str(newer), automatic_return=False)
    assert rig.service.version == 2


def test_a_policy_that_drops_all_counters_is_refused_unless_that_is_wanted(tmp_path: Path) -> None:
    rig = Rig("vtc", tmp_path)
    rig.work(20)
    before = image(rig.service.policy)
    host = Operated("llm", "rig", LlmHost(rig.service, "rig"))
    with pytest.raises(NoUpgrade) as refused:
        host.upgrade(str(path_of("fcfs")))
    assert "`served` is dropped by the new version" in refused.value.why
    assert "--no-return" in refused.value.hint
    assert rig.service.program.name == "Vtc" and image(rig.service.policy) == before
    host.upgrade(str(path_of("fcfs")), automatic_return=False)
    assert rig.service.program.name != "Vtc"


def test_parameters_that_come_with_an_upgrade_are_put_in_force(tmp_path: Path) -> None:
    rig = Rig("deficit", tmp_path, quantum=1_000_000)
    rig.work(20)
    credit = image(rig.service.policy)
    rig.service.upgrade(path_of("deficit"), {"quantum": 5_000_000})
    host = Operated("llm", "rig", LlmHost(rig.service, "rig"))
    assert host.set("quantum", "7000000") == {
        "param": "DeficitRoundRobin.quantum",
        "before": "5000000",
        "after": "7000000",
    }
    host.set("quantum", "1000000")
    assert image(rig.service.policy) == credit


def test_status_and_set_through_the_host(tmp_path: Path) -> None:
    rig = Rig("rpm", tmp_path)
    rig.work(30)
    host = Operated("llm", "rig", LlmHost(rig.service, "rig"))
    said = host.status()
    assert {row["tenant"] for row in said["details"]["tenants"]} <= set(NAMES)
    assert said["counters"]["waiting"] == len(rig.service.queues)
    param = next(f.name for f in rig.service.program.state if f.kind.value == "param")
    answer = host.set(param, "7")
    assert answer["after"] == "7"
    assert getattr(rig.service.policy, param) == 7


def test_what_a_policy_holds_of_each_tenant_is_in_status_and_metrics(tmp_path: Path) -> None:
    rig = Rig("vtc", tmp_path)
    rig.work(40)
    rows = {row["field"]: row for row in LlmHost(rig.service, "rig").told()["state"]}
    assert set(rows["served"]["value"]) <= set(NAMES) and rows["served"]["kind"] == "tally"
    lines = exposition(rig.service).splitlines()
    for name, value in rows["served"]["value"].items():
        assert f'transect_llm_policy_tally{{policy="Vtc",field="served",key="{name}"}} {value}' in lines


def test_work_that_ends_is_accounted_for(tmp_path: Path) -> None:
    rig = Rig("vtc", tmp_path)
    rig.work(80)
    accounts = rig.service.queues.accounts
    assert sum(a.admitted for a in accounts.values()) == len(rig.picked) - sum(
        a.preempted for a in accounts.values()
    ) + sum(1 for r in rig.service.queues if r.preemptions)
    running = len(rig.running) + sum(1 for r in rig.service.queues if r.preemptions)
    assert sum(a.finished for a in accounts.values()) == sum(a.admitted for a in accounts.values()) - running


def test_identity() -> None:
    from transect.llm import keys
    from transect.llm.tenants import Nobody, Tenants

    key, hashed = keys.new()
    config = Config(
        tenants={"ann": Tenant(keys=(hashed,)), "ben": Tenant()},
        identity=Identity(trusted=("10.0.0.0/8",)),
    )
    tenants = Tenants(config)

    def who(**given: Any) -> str | None:
        found = tenants.who(**{"keys": (), "named": None, "peer": None, **given})
        return None if isinstance(found, Nobody) else found.name

    assert who(keys=[key]) == "ann"
    assert who(keys=[key + "x"]) is None
    assert who(named="ben", peer="10.1.2.3") == "ben"
    assert who(named="ben", peer="192.0.2.1") is None
    assert who(named="ben", peer="::1") is None
    assert who(keys=[key], named="ben", peer="10.1.2.3") == "ann"
    assert who(vouched="ben") == "ben"
    assert who(vouched="ben", keys=[key]) == "ann", "who shows a key is asked for it"
    assert who(vouched="ben", keys=[key + "x"]) is None
    assert who(vouched="nobody", named="ben", peer="10.1.2.3") is None
    tenants.load(Config(identity=Identity(unknown="share")))
    assert who() == "anonymous"
    assert who(keys=[key]) is None, "a key that is not known is never anonymous"
    assert tenants.name_of(0) == "ann", "numbers stay"


def test_keys_that_disagree_are_nobodys_and_counted(tmp_path: Path) -> None:
    from transect.llm import keys
    from transect.llm.identity import Asked, Identifier
    from transect.llm.metrics import render
    from transect.llm.tenants import Nobody, Tenants

    (ann, hashed), (second, second_hashed), (ben, of_ben) = keys.new(), keys.new(), keys.new()
    tenants = {"ann": Tenant(keys=(hashed, second_hashed)), "ben": Tenant(keys=(of_ben,))}
    for unknown in ("refuse", "share"):
        config = Config(tenants=tenants, identity=Identity(unknown=unknown))
        identifier = Identifier(Tenants(config), config, tmp_path)

        def who(*headers: tuple[str, str], identifier: Identifier = identifier) -> str:
            named = [(name.encode(), value.encode()) for name, value in headers]
            found = identifier.who({"headers": named, "client": ("192.0.2.1", 1)})
            return found.client.name if isinstance(found, Asked) else str(found)

        def bearer(key: str) -> tuple[str, str]:
            return "authorization", f"Bearer {key}"

        assert who(bearer(ann), ("x-api-key", ann)) == who(("x-api-key", ann), bearer(second)) == "ann"
        for shown in (
            [bearer(ann), ("x-api-key", ben)],
            [("x-api-key", ann), bearer(ben)],
            [bearer(ann), bearer(ben)],
            [("x-api-key", ann), ("x-api-key", ben)],
            [bearer(ann), ("x-api-key", "nobody's")],
            [("authorization", "Basic eDp5"), ("x-api-key", ann)],
        ):
            assert who(*shown) == Nobody.DISAGREE, shown
        assert who(bearer("x"), ("x-api-key", "y")) == Nobody.NO_KEY
        assert render(identifier.metrics()).splitlines()[2:] == [
            'transect_llm_unidentified_total{why="no valid key"} 1',
            'transect_llm_unidentified_total{why="keys that disagree"} 6',
        ]


def test_who_a_layer_vouches_for(tmp_path: Path) -> None:
    from transect.identity import HEADER, Keys, NoKeys
    from transect.llm.identity import Asked, Identifier
    from transect.llm.tenants import Tenants

    file = tmp_path / "identity.key"
    file.touch(0o600)
    file.write_text("ab" * 32)
    keys = Keys(file)
    config = Config(tenants={"ben": Tenant()}, identity=Identity(keys="identity.key", unknown="share"))
    identifier = Identifier(Tenants(config), config, tmp_path)

    def who(*words: str) -> tuple[str, bool]:
        scope = {"headers": [(HEADER.encode(), word.encode()) for word in words], "client": ("192.0.2.1", 1)}
        found = identifier.who(scope)
        assert isinstance(found, Asked)
        return found.client.name, found.deadline is not None

    word = keys.vouch("ben", time.monotonic() + 1)
    assert who(word) == ("ben", True)
    assert who(word) == ("anonymous", False), "it has been used"
    assert who("ben") == who() == who(keys.vouch("ben"), keys.vouch("ben")) == ("anonymous", False)
    assert who(keys.vouch("somebody")) == ("anonymous", False), "whom the configuration does not name"
    assert identifier.status() == {
        "believed": 2, "malformed": 2, "forged": 0, "expired": 0, "early": 0, "replayed": 1, "full": 0,
    }  # fmt: skip
    assert identifier.verifier_of(config) is identifier.verifier_of(config), "what it heard is remembered"
    other = Config(identity=Identity(keys="other.key"))
    with pytest.raises(NoKeys, match=r"`identity.keys`: .*other.key cannot be read: No such file"):
        identifier.verifier_of(other)
    assert who(keys.vouch("ben")) == ("ben", False)
    plain = Config(tenants={"ben": Tenant()}, identity=Identity(unknown="share"))
    identifier.load(plain, identifier.verifier_of(plain))
    assert (who(keys.vouch("ben")), identifier.status()) == (("anonymous", False), None)


# ---------------------------------------------------------------- many tenants


def crowd(policy: str, folder: Path, count: int) -> Service:
    """A service with so many tenants, each of which was served once, and one of them waiting."""
    config = Config(policy=policy, identity=Identity(unknown="share"))
    service = Service(config, folder, bound=BOUND, running=lambda: ())
    queues = service.queues
    for number in range(count):
        queues.add(Held(number, 10))
        request = queues.pop()
        queues.produced(request, 5)
        queues.finish(request)
    queues.add(Held(count, 10))
    return service


@pytest.mark.parametrize("policy", ["vtc", "vtc_weighted"])
def test_ten_thousand_tenants_that_are_idle_are_forgotten(policy: str, tmp_path: Path) -> None:
    service = crowd(policy, tmp_path, 10_000)
    before = len(image(service.policy))
    first = service.tidy()
    assert first <= FORGOTTEN, "each look is short"
    gone = first + sum(service.tidy() for _ in range(2 * 10_000 // FORGOTTEN))
    assert gone >= 9_990
    assert len(image(service.policy)) < before / 100
    assert service.queues.accounts[0].output == 5, "what they were served is still told"


def test_a_forgotten_tenant_stands_where_it_would_have_stood(tmp_path: Path) -> None:
    kept, tidied = crowd("vtc", tmp_path, 50), crowd("vtc", tmp_path, 50)
    assert sum(tidied.tidy() for _ in range(3)) > 40
    for service in (kept, tidied):
        service.queues.add(Held(7, 10))
    assert kept.counter_of(7) == tidied.counter_of(7)


def test_nobody_is_forgotten_where_that_would_be_a_gain(tmp_path: Path) -> None:
    assert crowd("lcf", tmp_path, 20).tidy() == 0
    recorded = crowd("vtc", tmp_path, 20)
    recorded.record(tmp_path / "log", "rig", real=False)
    assert [recorded.tidy() for _ in range(3)] == [0, 0, 0], "a log says nothing of it"
    recorded.end_record()


def test_requests_go_on_while_a_new_version_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig("vtc", tmp_path)
    rig.work(5)
    made, waited = rig.service._made, []

    def slowly(loaded: Any) -> Any:
        others = threading.Thread(target=rig.work, args=(5,), daemon=True)
        others.start()
        others.join(20)
        waited.append(others.is_alive())
        return made(loaded)

    monkeypatch.setattr(rig.service, "_made", slowly)
    rig.service.upgrade(changed(tmp_path, "vtc", "1_000_000", "2_000_000"))
    assert waited == [False] and rig.service.version == 2


def test_a_refused_upgrade_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig("vtc", tmp_path)
    rig.work(5)
    monkeypatch.setattr(rig.service, "_made", lambda loaded: pytest.fail("it was made"))
    with pytest.raises(NoUpgrade):
        rig.service.upgrade(path_of("fcfs"), returns=True)
    assert rig.service.version == 1
