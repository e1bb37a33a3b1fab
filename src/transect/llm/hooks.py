# SPDX-License-Identifier: Apache-2.0
"""What an llm policy defines and uses.  The compiler reads this file as text; type checkers and tests import it.

Each client (tenant) has a queue of its own requests, oldest first; the policy chooses among clients.  In the words of
VTC (OSDI'24, algorithm 2):

| hook      | runs                                                                    | in the paper             |
|-----------|-------------------------------------------------------------------------|--------------------------|
| `accept`  | once for a new request, before it waits                                 | –                        |
| `arrive`  | it joins its client's queue; who had none waiting is not yet in `waiting` | monitoring stream, lift |
| `head`    | it has become the oldest waiting request of its client                  | –                        |
| `pick`    | while the engine has room: whose oldest request is next                 | k = argmin               |
| `admit`   | that request fits, and enters the running batch for the first time      | admission                |
| `charge`  | prompt (once, after `admit`) and output tokens (each step) were used    | c += w_p·in, c += w_q·out |
| `retract` | it was admitted and then put back before it ran; its charge is undone first | –                    |
| `leave`   | its client has no waiting request any more                              | last client that left Q  |
| `finish`  | it ended after it was admitted: complete, aborted or failed             | request finished         |
| `forget`  | its client goes: it has no work, and loses nothing by being forgotten   | –                        |

If the request that `pick` chose does not fit, the engine stops admitting: it never skips to another client.  A
preempted request `arrive`s again and becomes `head`; it is never admitted or charged for its prompt a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from transect.lang import Key, Policy, View, drop, ends, given, nonempty, struct
from transect.shapes import Client

LOCALS = "Request"  # what a `Local` belongs to
SCOPES = ("instance", "global")


class Group(Key):
    """Clients that share one part of the service: an organisation, a team."""


class Request(View):
    """One request.  Sizes in tokens."""

    client: Client
    group: Group
    """The client's organisation; a client without one is a group of its own."""
    number: int
    """Its place in the order of arrival."""
    input: int
    """Of the prompt."""
    cached: int
    """Of the prompt, those which the prefix cache held when it became `head`, as far as the engine tells."""
    produced: int
    """Of the output so far; those that `charge` reports are among them."""
    limit: int
    """The most that its client asks for (`max_tokens`).  Clients lie."""
    reserved: int
    """The most output that admission reserves memory for."""
    hint: int
    """A forecast of its output from outside the policy (a model, a simulator's oracle); 0: none."""
    weight: int
    """Of its client, in percent: 100 is the ordinary share, 200 twice as much."""
    lane: int
    """Its client's lane; a lower one is served first."""


@struct
class Queue:
    """Let the request wait for its turn."""


@struct
class Refuse:
    """Turn the request away (429), for this reason."""

    message: str = ""


Verdict: TypeAlias = Queue | Refuse


class Admission(Policy):
    """Decides whose request enters the running batch next."""

    waiting: Sequence[Client] = given()

    def accept(self, request: Request, /) -> Verdict:
        """A new request has come."""
        return Queue()

    def arrive(self, request: Request, /) -> None:
        """It joins the queue of its client, which is in `waiting` already if it has other requests there."""

    def head(self, request: Request, /) -> None:
        """It is now the oldest waiting request of its client."""

    @nonempty("waiting")
    def pick(self) -> Client:
        """Choose a member of `waiting`, which is not empty: its oldest request is next."""
        raise NotImplementedError

    def admit(self, request: Request, /) -> None:
        """It enters the running batch."""

    def charge(self, request: Request, prompt: int, output: int, /) -> None:
        """It used that many more tokens.  Negative numbers take tokens back (after an admission that was undone, or for
        a prefix found in the cache).
        """

    def retract(self, request: Request, /) -> None:
        """It was put back before it ran; what `charge` said of it has been undone already."""

    def leave(self, client: Client, /) -> None:
        """The client has no waiting request any more."""

    def finish(self, request: Request, /) -> None:
        """It has ended; `request.produced` is final."""

    @ends("client")
    def forget(self, client: Client, /) -> None:
        """The client goes: it has no work, and nothing is lost by forgetting it."""
        drop(client)
