# SPDX-License-Identifier: Apache-2.0
"""A counter-example on the real data plane: the stream that shows why a rearrangement is refused is sent through
Envoys, or gRPC libraries, in both arrangements.

| module     | is for                                                                                  |
|------------|-----------------------------------------------------------------------------------------|
| `facts`    | the values of clock, dice and durations, for chains that are compiled to read them      |
| `puppet`   | a gRPC server, and calls, that do what they are told, step by step                      |
| `carriers` | the processors of an arrangement: stock Envoys with native modules, or grpcio           |
| `sending`  | the stream, event by event, and what came of each                                       |
| `trial`    | all of it: a witness on a carrier                                                       |
| `refusals` | the refused rearrangements of a chain, each tried on a carrier                          |

Everything is as it is when a chain is in force (the emitted C, Envoy's worker, gRPC's frames and codes), except for the
clock, the dice and an RPC's duration, which a counter-example prescribes.
"""

from transect.rpc.equivalence.sendable import Unsendable
from transect.rpc.trying.carriers import Carrier
from transect.rpc.trying.trial import Tried, tried

__all__ = ["Carrier", "Tried", "Unsendable", "tried"]
