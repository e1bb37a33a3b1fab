# SPDX-License-Identifier: Apache-2.0
"""The tree as text, to be read by people and by `parse`: `parse(dump(program)) == program`, spans included.

    handler pick() -> #Client  ; 22:4+34
      locals chosen: #Client, c: #Client
      let chosen = argmin{.served.total(c) for c in values(.waiting)}  ; …
      return chosen  ; 25:15+6 8+13

| text                               | node                                                                   |
|------------------------------------|------------------------------------------------------------------------|
| `x`, `.f`, `.f.get(k)`             | Local, State, Lookup                                                   |
| `e.name`, `e->name`, `e#0`         | Attr, ViewField, Item                                                  |
| `(a + b)`, `(a if c else b)`       | operators, always in parentheses                                       |
| `@f(x)`, `%len(x)`                 | Call of a helper, Intrinsic                                            |
| `Reject{…}`, `[a, b]`              | MakeStruct, MakeTuple                                                  |
| `min{v for x in s if c else d}`    | Reduce; `set{…}` is MakeSet                                            |
| `e::T`                             | `e` of a type that its operands do not give it                         |
| `int?`, `&Rpc[&Ask]`, `#Client`    | Option, View, Key; `[T]` sequence, `{T}` set, `{K: V}` map, `(T, U)`   |

After `;` come the spans of the line's nodes, in the order in which the nodes end: `line:column+length`, without the
line when it is the one before, `k!` in front for another file, `=` for the same span again, `-` for none.
"""

from transect.core.text_dump import dump
from transect.core.text_parse import parse
from transect.core.text_read import TextError

__all__ = ["TextError", "dump", "parse"]
