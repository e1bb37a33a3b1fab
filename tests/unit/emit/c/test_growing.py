# SPDX-License-Identifier: Apache-2.0
"""Tables kept by client, `waiting` and heaps in C: they grow with the clients, and what they took is given back."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path

from tests.unit.emit.c.machine import SANITIZED, Session, build, compile_c, interpreted, shown
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.emit.c import emit

POLICY = """
from transect.lang import Map, Tally, struct, table, tally, text
from transect.shapes import Arbiter, Client


@struct
class Seen:
    name: str = text(4)
    often: int = 0


class P(Arbiter):
    served: Tally[Client, int] = tally(1)
    seen: Map[Client, Seen] = table(3)
    total: int = 0

    def pick(self) -> Client:
        return min(self.waiting, key=self.served.get)

    def charge(self, client: Client, cost: int) -> None:
        self.served[client] += cost
        last = self.seen.get(client)
        self.seen[client] = Seen("a" if cost < 90 else "too long", 1 if last is None else last.often + 1)
        if cost % 10 == 0:
            self.total = sum(self.served[c] for c in self.waiting if c in self.seen)
            for c, s in self.seen.items():
                if s.often > 3:
                    del self.seen[c]

    def forget(self, client: Client) -> None:
        if client in self.seen and self.seen[client].often > 2:
            self.total += self.served[client]
            return
        self.total -= 1
"""


def policy(text: str = POLICY) -> Program:
    compiled = compile_text(text)
    assert compiled.programs, [f"{d.code} {d.message}" for d in compiled.diagnostics]
    return compiled.programs[-1]


def test_what_clients_keep_grows_as_in_the_interpreter(tmp_path: Path) -> None:
    """Hundreds of clients, where the hints say one and three; images on the way."""
    program = policy()
    session, instance = Session(build([program], tmp_path), [program]), Instance(program)
    session.start()
    rng = random.Random(3)
    wanted: list[object] = []
    for step in range(1200):
        client, cost = rng.randrange(700), rng.randrange(100)
        hook = rng.choice(("charge", "charge", "charge", "pick", "forget"))
        if step % 7 == 0:
            instance.waiting[:] = rng.sample(range(700), rng.randrange(1, 300))
            session.requests.waiting(list(instance.waiting))
        if hook == "pick" and not instance.waiting:
            continue
        args = {"charge": (client, cost), "pick": (), "forget": (client,)}[hook]
        session.call(hook, *args)
        wanted.append(interpreted(instance, hook, *args))
        if step % 400 == 0:
            session.load(instance.image())
            wanted.append(True)
    found = [f if isinstance(f, bool) else shown(f) for f in session.run()]
    assert len(instance.state["served"]) > 300
    assert instance.state["served"].overflow == 0
    assert found == wanted


def test_a_load_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    program = policy()
    session, instance = Session(build([program], tmp_path), [program]), Instance(program)
    for client in range(40):
        instance.call("charge", (client, client))
    image = instance.image()
    session.start()
    session.load(image)
    session.load(image[:-1])
    session.load(b"\xff\xff\xff\xff" + image[4:])
    session.show()
    assert session.run() == [True, False, False, image]


def test_a_state_in_the_callers_memory_gives_back_what_it_took(tmp_path: Path) -> None:
    """Under the sanitizer, which finds what nobody frees."""
    emit(policy()).write(tmp_path)
    (tmp_path / "main.c").write_text(
        """
#include "p.c"
int main(void)
{
    static struct p_state state;
    struct ts_call call;
    ts_call_begin(&call, NULL, NULL);
    p_init(&state, 7);
    for (uint64_t client = 0; client < 100000; client++) {
        p_charge(&state, &call, client, 1);
        p_waiting_add(&state, client);
    }
    uint64_t chosen = p_pick(&state, &call);
    p_forget(&state, &call, chosen);
    p_clear(&state);
    p_free(NULL);
    ts_call_end(&call);
    return chosen == 0 && state.served.overflow == 0 ? 0 : 1;
}
"""
    )
    compile_c(tmp_path, "main.c", "-o", "main", flags=SANITIZED)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_state_without_memory_of_its_own_has_nothing_to_give_back() -> None:
    text = POLICY.replace("Client, int] = tally(1)", "Client, int] = tally(8)")
    assert re.search(r"\bp_clear\(", emit(policy(text)).files["p.h"].decode())
    plain = """
from transect.lang import Map, table
from transect.rpc import Element, Forward, Rpc, Verdict
class P(Element):
    seen: Map[str, int] = table(4)
    def request(self, rpc: Rpc) -> Verdict:
        self.seen[rpc.method] = 1
        return Forward()
"""
    assert "p_clear" not in emit(policy(plain)).files["p.h"].decode()
