# SPDX-License-Identifier: Apache-2.0
"""One request to its replica, and the answer back to the client, counting tokens on the way.

A replica that cannot be reached, or is busy, gives the request back to the queue: nothing of it has been served, so
nothing is charged.  Once the first byte of an answer has passed there is no way back: what breaks off later ends in an
error that the client sees, and what was produced stays charged.
"""

from __future__ import annotations

import asyncio
import logging

from transect.llm.gateway.answers import Reply, plain_answer
from transect.llm.gateway.calls import Call
from transect.llm.gateway.connections import Absent, Exchange, Silent, Unreachable
from transect.llm.gateway.dispatch import Dispatcher, TurnedAway
from transect.llm.gateway.replica import Replica, pause_s
from transect.llm.gateway.usage import Events, Garbage, of_answer
from transect.llm.request import Held

logger = logging.getLogger("transect.gateway")

BUSY = frozenset({429, 503})
STRICT = frozenset({400, 422})  # answers of an engine to options that it does not know
OURS = frozenset({401, 403, 407})  # about the gateway's own key, which does not concern the client
TRIES = 4  # of replicas that break off before they answer, for one request
LARGEST = 256 << 20  # bytes of an answer that is not streamed


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
        """Whether the client has been answered; if not, the request is back in the queue.

        Failures of an engine go to the operator's log; a client is told only what it can use.
        """
        try:
            return await self._asked(held, replica, reply)
        except asyncio.CancelledError:  # its client has left
            runs = held in self.dispatcher.running  # else it waited for another try, and is back in the queue
            if runs and not held.own.call.stream and not held.produced:
                # The engine was at work and its progress is unknown, so the expected output is the best estimate.
                self.dispatcher.produced(held, held.hint)
            raise
        except TimeoutError:  # the engine may be fine: this request asked for more than the time allows
            await self._broken(
                held, reply, 504, f"no whole answer within {self.dispatcher.limits.answer_s:g} s"
            )
        except Silent as wrong:
            replica.failed()
            logger.warning("%s: %s", replica.name, wrong)
            await self._broken(held, reply, 504, "the engine says nothing any more")
        except Absent as wrong:  # the request has only lost time, and waits in the queue as others do
            replica.absent()
            logger.warning("%s: %s", replica.name, wrong)
            self.dispatcher.again(held)
            return False
        except Unreachable as wrong:
            replica.failed()
            logger.warning("%s: %s", replica.name, wrong)
            held.own.tries += 1
            if not reply.begun and not held.produced and held.own.tries < TRIES:
                await self._rested(held, held.own.tries)
                return False
            await self._broken(held, reply, 502, "the engine broke off")
        except Garbage as wrong:
            logger.warning("%s: %s", replica.name, wrong)
            await self._broken(held, reply, 502, f"the engine gave no answer that is one: {wrong}")
        return True

    async def _rested(self, held: Held, failures: int) -> None:
        """Put the request back into the queue after a pause, since it may itself be what breaks its engine.  Others are
        served meanwhile, so such a request costs them no time.
        """
        self.dispatcher.rest(held)
        try:
            await asyncio.sleep(pause_s(failures))
        finally:
            self.dispatcher.again(held)

    async def _asked(self, held: Held, replica: Replica, reply: Reply) -> bool:
        """As `_attempt`.  An engine that refuses a stream is asked again with a simpler form of counting, as long as no
        stream has begun there.
        """
        call: Call = held.own.call
        counting = replica.counting
        while True:
            body, headers = call.body_for(counting), held.named.headers
            async with replica.http.ask("POST", call.path, body, headers) as answer:
                if answer.status in BUSY:
                    break
                replica.answered()
                less = counting.simpler if call.stream and not replica.counting_known else None
                if less is None or answer.status not in STRICT:
                    if call.stream and answer.status == 200:
                        replica.counts(counting)
                    await self._passed(held, replica, answer, reply)
                    return True
            counting = less
        if not held.own.refusals:  # a second refusal is more likely due to the request than to the engine
            replica.busy()
        held.own.refusals += 1
        await self._rested(held, held.own.refusals)
        return False

    async def _passed(self, held: Held, replica: Replica, answer: Exchange, reply: Reply) -> None:
        """Pass the engine's answer on to the client."""
        if answer.status == 200 and held.own.call.stream:
            await self._streamed(held, replica, answer, reply)
        elif answer.status == 200:
            await self._whole(held, replica, answer, reply)
        elif 400 <= answer.status < 500 and answer.status not in OURS:
            await self._refused(held, answer, reply)
        else:
            logger.error("%s answers %d", replica.name, answer.status)
            status = answer.status if answer.status in (503, 504) else 502
            await self._broken(held, reply, status, "the engine cannot serve this at the moment")

    # ---------------------------------------------------------------- answers

    async def _refused(self, held: Held, answer: Exchange, reply: Reply) -> None:
        """The engine says no: the client is told what it says, and owes nothing."""
        body = await answer.read(LARGEST)
        self.dispatcher.settle_nothing(held)
        await plain_answer(reply.send, answer.status, body, headers_of(answer))

    async def _whole(self, held: Held, replica: Replica, answer: Exchange, reply: Reply) -> None:
        # An answer in one piece is charged by its expected length at first, and corrected when it has come.
        self.dispatcher.produced(held, held.hint)
        body = await answer.read(LARGEST)
        used = of_answer(body)
        replica.used(used.output, held.own.call.limit, used.odd)
        self.dispatcher.settle(held, used.prompt, used.output)
        await plain_answer(reply.send, 200, body, headers_of(answer))

    async def _streamed(self, held: Held, replica: Replica, answer: Exchange, reply: Reply) -> None:
        events = Events(held.own.call.wants_usage)
        reply.streams = True
        await reply.send({"type": "http.response.start", "status": 200, "headers": headers_of(answer)})
        try:
            while data := await answer.piece():
                passed = events.feed(data)
                self.dispatcher.produced(held, events.output - held.produced)
                if passed:
                    await reply.send({"type": "http.response.body", "body": passed, "more_body": True})
            rest = events.end()
        finally:
            replica.used(events.used.output, held.own.call.limit, events.odd)
            self.dispatcher.settle(held, events.used.prompt, events.output)
        await reply.send({"type": "http.response.body", "body": rest})

    async def _broken(self, held: Held, reply: Reply, status: int, why: str) -> None:
        """An answer that does not come, or not to its end."""
        if reply.begun:
            await reply.broken(status, why)
            return
        self.dispatcher.settle_nothing(held)
        raise TurnedAway(status, why)


def headers_of(answer: Exchange) -> list[tuple[bytes, bytes]]:
    """Headers that go on to the client."""
    kind = answer.headers.get("content-type")
    return [] if kind is None else [(b"content-type", kind.encode())]
