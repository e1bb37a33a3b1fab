# SPDX-License-Identifier: Apache-2.0
"""Whether two arrangements of a chain mean the same, for arbitrary streams of RPCs: `docs/equivalence.md`.

| module     | is for                                                                        |
|------------|-------------------------------------------------------------------------------|
| `levels`   | identical, service, loose; which state of an element counts at each           |
| `world`    | what views read: messages, metadata, what earlier hooks kept                  |
| `metadata` | headers and trailers as a map; `header_predicates` says which gRPC accepts    |
| `passes`   | messages through neighbouring elements, symbolically                          |
| `compare`  | what is put out, and the relation that must hold again                        |
| `pairs`    | the obligations of two neighbours that change places, and the answer          |
| `split`    | proofs by cases: a condition on what no call changes, and its negation        |
| `explore`  | the search for a stream which shows a difference; `plain`, `samples` help it  |
| `concrete` | a solver's model as such a stream                                             |
| `simulate` | streams on the reference interpreter; `service` makes a service for them      |
| `sendable` | a stream that a proof found, as clients and a server can really send it      |
| `streams`  | a stream and what came of it, as data and as a table                          |
| `moves`    | an element that changes sides: instances, what it sees, trust                 |
| `arrangement` | two arrangements of a chain, step by step                                  |
| `cache`    | answers about pairs on disk                                                   |
"""

from transect.rpc.equivalence.arrangement import Arrangement, Judge, Report, Stand
from transect.rpc.equivalence.cache import Cache
from transect.rpc.equivalence.levels import LEVELS, Level
from transect.rpc.equivalence.moves import Move, Side, judge_move
from transect.rpc.equivalence.pairs import Judgement, Pair, Settings, Verdict, decide, recheck
from transect.rpc.equivalence.streams import Stream, Witness

__all__ = [
    "LEVELS",
    "Arrangement",
    "Cache",
    "Judge",
    "Judgement",
    "Level",
    "Move",
    "Pair",
    "Report",
    "Settings",
    "Side",
    "Stand",
    "Stream",
    "Verdict",
    "Witness",
    "decide",
    "judge_move",
    "recheck",
]
