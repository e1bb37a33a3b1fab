# SPDX-License-Identifier: Apache-2.0
"""The Arbiter: who is served next.

| stratum | a client is                        | cost                             |
|---------|------------------------------------|----------------------------------|
| cpu     | a task                             | nanoseconds run × 100 / weight   |
| rpc     | an authenticated peer, or metadata | nanoseconds in service           |
| llm     | a tenant                           | weighted micro-tokens            |
| memory  | a target                           | bytes read                       |
"""

from collections.abc import Sequence

from transect.lang import Key, Policy, drop, ends, given, nonempty


class Client(Key):
    """Someone who waits for service."""


class Arbiter(Policy):
    """Decides which of the waiting clients is served next."""

    waiting: Sequence[Client] = given()

    def arrive(self, client: Client, /) -> None:
        """The client has just become waiting; it is not yet in `waiting`.  A preempted task put back arrives again."""

    @nonempty("waiting")
    def pick(self) -> Client:
        """Choose a member of `waiting`, which is not empty.  The adapter takes one unit of its work away."""
        raise NotImplementedError

    def charge(self, client: Client, cost: int, /) -> None:
        """The client used `cost` units, already divided by its weight; it may be waiting, in service, or both."""

    def leave(self, client: Client, /) -> None:
        """The client has no work waiting any more."""

    @ends("client")
    def forget(self, client: Client, /) -> None:
        """The client goes: it has no work, and its state is no longer needed.  Its entries are dropped from all tables
        afterwards.
        """
        drop(client)
