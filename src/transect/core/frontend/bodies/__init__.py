# SPDX-License-Identifier: Apache-2.0
"""Bodies of functions to typed tree.

`typing.Typing` is what is known of one body at the place reached.  The other modules are functions over it, each of one
subject, which import downward: `statements`, `patterns`, `assignments`, `places`; `expressions`, `conditions`,
`operators`, `members`, `names`, `calls`, `methods`, `arguments`, `reductions`; `loops`, `sources`, `arithmetic`,
`numbers`, `state`, `ordering`; `context`, `facts`.  Upward they call the entries of `Typing` alone: `expression`,
`value`, `raw`, `condition`, `block`.
"""
