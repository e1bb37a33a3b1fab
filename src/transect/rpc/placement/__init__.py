# SPDX-License-Identifier: Apache-2.0
"""Where the elements of an edge stand: `docs/placement.md`.

| module        | is for                                                                           |
|---------------|----------------------------------------------------------------------------------|
| `moves`       | which elements may change places or sides, asked of `rpc/equivalence`            |
| `streamed`    | where another carrier would change what an element does to headers               |
| `built_in`    | which elements Envoy's own filters can replace                                   |
| `profile`     | what this machine's calls, processors and elements cost, as measured             |
| `calibrate`   | measuring that                                                                   |
| `costs`       | what the elements and processors of one chain cost, by the profile               |
| `observed`    | the share of calls that each element lets through, from a chain's counters       |
| `optimum`     | the cheapest arrangement, exactly                                                |
| `planning`    | all of it together: a plan                                                       |
| `report`      | a plan for people, and as JSON                                                   |
| `saved`       | a plan as a file                                                                 |
| `checked`     | that file checked against the chain, its policies and the proofs, as they are now |
| `deployment`  | a plan in force: Envoys, and what libraries attach                               |
| `attach_plan` | what a program attaches in its gRPC library                                      |
"""
