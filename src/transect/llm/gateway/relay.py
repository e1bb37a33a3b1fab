# SPDX-License-Identifier: Apache-2.0
"""One request to its replica, and the answer back to the client, counting tokens on the way.

A replica that cannot be reached, or is busy, gives the request back to the queue: nothing of it has been served, so
nothing is charged.  Once the first byte of an answer has passed there is no way back: what breaks off later ends in an
error that the client sees, and what was produced stays charged.
"""

from __future__ import annotations

from transect.llm.gateway.answers import Reply, plain_answer
from transect.llm.gateway.calls import Call
from transect.llm.gateway.connections import Exchange, Silent, Unreachable
from transect.llm.gateway.dispatch import Dispatcher, TurnedAway
from transect.llm.gateway.replica import Replica
from transect.llm.gateway.usage import Events, Garbage, of_answer
from transect.llm.request import Held

BUSY = frozenset({429, 503})
TRIES = 4  # of replicas that cannot be reached, for one request
LARGEST = 256 << 20  # bytes of an answer that is not streamed
PASSED_ON = (("content-type", b"content-type"), ("x-request-id", b"x-request-id"))  # headers of an answer


class Relay:
    """Takes dispatched requests to their replicas."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher

    async def serve(self, held: Held, reply: Reply) -> None:
        """Wait for its turn, and answer its client.  Raises `TurnedAway` while nothing has been answered."""
        dispatcher = self.dispatcher
        try:
            while True:
                replica = await dispatcher.replica_for(held)
                if await self._attempt(held, replica, reply):
                    return
        finally:
            dispatcher.leave(held)

    async def _attempt(self, held: Held, replica: Replica, reply: Reply) -> bool:
        """Whether the client has been answered; if not, the request is back in the queue."""
        call: Call = held.own.call
        try:
            async with replica.http.ask("POST", call.path, call.body) as answer:
                if answer.status in BUSY:
                    replica.busy()
                    self._again(held)
                    return False
                replica.answered()
                if answer.status != 200:
                    await self._refused(held, answer, reply)
                elif call.stream:
                    await self._streamed(held, answer, reply)
                else:
                    await self._whole(held, answer, reply)
        except TimeoutError:  # the engine may be well: this one request asked for more than there is time for
            why = f"{replica.name} took longer than {self.dispatcher.limits.answer_s:g} s"
            await self._broken(held, reply, 504, why)
        except Silent:
            replica.failed()
            await self._broken(held, reply, 504, f"{replica.name} says nothing any more")
        except Unreachable as wrong:
            replica.failed()
            if not reply.begun and held.own.tries < TRIES and not held.produced:
                self._again(held)
                return False
            await self._broken(held, reply, 502, f"{replica.name} broke off: {wrong}")
        except Garbage as wrong:
            await self._broken(held, reply, 502, f"{replica.name}: {wrong}")
        return True

    def _again(self, held: Held) -> None:
        held.own.tries += 1
        self.dispatcher.again(held)

    # ---------------------------------------------------------------- answers

    async def _refused(self, held: Held, answer: Exchange, reply: Reply) -> None:
        """The engine says no: the client is told what it says, and owes nothing."""
        body = await answer.read(LARGEST)
        self.dispatcher.settle_nothing(held)
        await plain_answer(reply.send, answer.status, body, headers_of(answer))

    async def _whole(self, held: Held, answer: Exchange, reply: Reply) -> None:
        # An answer in one piece is charged as expected while it is made, and put right when it is there.
        self.dispatcher.produced(held, held.hint)
        body = await answer.read(LARGEST)
        used = of_answer(body)
        self.dispatcher.settle(held, used.prompt, used.output)
        await plain_answer(reply.send, 200, body, headers_of(answer))

    async def _streamed(self, held: Held, answer: Exchange, reply: Reply) -> None:
        events = Events(held.own.call.wants_usage)
        reply.streams = True
        await reply.send({"type": "http.response.start", "status": 200, "headers": headers_of(answer)})
        try:
            while data := await answer.piece():
                passed = events.feed(data)
                self.dispatcher.produced(held, events.output - held.produced)
                if passed:
                    await reply.send({"type": "http.response.body", "body": passed, "more_body": True})
        finally:
            self.dispatcher.settle(held, events.used.prompt, events.output)
        await reply.send({"type": "http.response.body", "body": events.end()})

    async def _broken(self, held: Held, reply: Reply, status: int, why: str) -> None:
        """An answer that does not come, or not to its end."""
        if reply.begun:
            await reply.broken(status, why)
            return
        self.dispatcher.settle_nothing(held)
        raise TurnedAway(status, why)


def headers_of(answer: Exchange) -> list[tuple[bytes, bytes]]:
    """Headers that go on to the client."""
    found = answer.headers.get
    return [(sent, value.encode()) for name, sent in PASSED_ON if (value := found(name)) is not None]
