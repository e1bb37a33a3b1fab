# SPDX-License-Identifier: Apache-2.0
"""Bodies of functions to typed tree.

One class in parts, each of which adds to the one before: `context` (names, facts, conversions), `loops`, `methods`,
`calls`, `names`, `members`, `operators`, `conditions`, `expressions`, `patterns`, `places`, `assignments`,
`statements`.
"""
