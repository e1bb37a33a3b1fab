# SPDX-License-Identifier: Apache-2.0
"""Where the elements of an edge stand: `docs/placement.md`.

| module        | is for                                                                          |
|---------------|---------------------------------------------------------------------------------|
| `model`       | processors, what a chain file may say, arrangements                              |
| `words`       | reading that from a chain file                                                   |
| `constraints` | where each element can stand, and why not elsewhere; contradictions              |
| `moves`       | which elements may change places or sides, asked of `rpc/equivalence`            |
| `profile`     | what this machine's calls, processors and elements cost, as measured             |
| `calibrate`   | measuring that                                                                   |
| `optimum`     | the cheapest arrangement, exactly                                                |
| `planning`    | all of it together: a plan                                                       |
| `report`      | a plan for people, and as JSON                                                   |
| `saved`       | a plan as a file                                                                 |
| `checked`     | that file held against the chain, its policies and the proofs, as they are now   |
| `deployment`  | a plan in force: Envoys, and what libraries attach                               |
"""
