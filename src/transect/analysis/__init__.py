# SPDX-License-Identifier: Apache-2.0
"""Symbolic evaluation of policies and what it proves: the flat form goes in, facts and counter-examples come out.

| module       | is for                                                                                |
|--------------|---------------------------------------------------------------------------------------|
| `allowance`  | how long, and how many terms, one question may take                                   |
| `terms`      | symbolic scalars: interned, folded when they are built                                |
| `values`     | what a policy's types hold, in terms: structs, options, verdicts, views               |
| `state`      | tables as unknown content plus a list of writes; whole states, and their joining      |
| `evaluate`   | statements and expressions of a handler, over all inputs at once                      |
| `summary`    | what is not unrolled: an unknown function of everything that it reads                 |
| `relevance`  | which state may come to matter to what is observed                                    |
| `solve`      | terms to z3, with a limit of time; a model's values                                   |
| `text_predicates` | questions about one text that a stratum decides in Python                      |
| `concrete`   | a model as a state, arguments and a tape on which the interpreter runs                |
| `running`    | the interpreter, as long as a question may take                                       |

Nothing here knows a stratum.  A stratum says what its views read and what its intrinsics do (`world.World`).
"""
