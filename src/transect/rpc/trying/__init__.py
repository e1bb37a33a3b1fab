# SPDX-License-Identifier: Apache-2.0
"""A counter-example on the real data plane: the stream of a refusal through Envoys, or gRPC libraries, both ways.

| module     | is for                                                                                  |
|------------|-----------------------------------------------------------------------------------------|
| `facts`    | what clock, dice and durations are to be, for chains that are compiled for it           |
| `puppet`   | a gRPC server, and calls, that do what they are told, step by step                      |
| `carriers` | the processors of an arrangement: stock Envoys with native modules, or grpcio           |
| `sending`  | the stream, event by event, and what came of each                                       |
| `trial`    | all of it: a witness on a carrier                                                       |

Everything is as it is when a chain is in force (the emitted C, Envoy's worker, gRPC's frames and codes), but for the
clock, the dice and an RPC's duration, which a counter-example prescribes.
"""

from transect.rpc.equivalence.sendable import Unsendable
from transect.rpc.trying.carriers import Carrier
from transect.rpc.trying.trial import Tried, tried

__all__ = ["Carrier", "Tried", "Unsendable", "tried"]
