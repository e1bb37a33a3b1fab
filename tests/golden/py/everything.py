"""Policy P from everything.py, line 46, sha256 77639090f424a0b8736a836f15f2c93e86a445839105e27a5c33df92e9c0de5b.

Emitted by transect 0.  Change the policy, not this file.
"""

from __future__ import annotations
from enum import IntEnum
from transect.core import types
from transect.core.values import MISFIT, copied, float_div, floordiv, shift_left_u64, size, storer, wrap, wrap_u64
from transect.emit.py import runtime
from transect.emit.py.runtime import first_max, sum_of_floats
from transect.lang import struct
from transect.rpc.hooks import Code, Element, Forward, Reject, Respond, Retry


@struct
class Inner:
    k: u8
    name: str = ''


@struct
class Box:
    n: int
    inner: Inner
    note: str | None = None


class Level(IntEnum):
    LOW = 0
    HIGH = 1


InnerType = types.StructType('Inner', (types.StructField('k', types.IntType(8, False)), types.StructField('name', types.TextType(8), '', False)))
BoxType = types.StructType('Box', (types.StructField('n', types.IntType()), types.StructField('inner', InnerType), types.StructField('note', types.OptionType(types.TextType(64)), None, False)))
stored = storer(types.TupleType((types.TextType(64), types.IntType())))
stored_2 = storer(InnerType)
PFields = {}
PFields['rate'] = runtime.Field(types.FloatType(), kind='param', default=0.25)
PFields['total'] = runtime.Field(types.IntType(), default=0)
PFields['word'] = runtime.Field(types.IntType(64, False), default=1)
PFields['last'] = runtime.Field(types.TextType(4), default='')
PFields['pair'] = runtime.Field(types.TupleType((types.TextType(64), types.IntType())), default=('', 0))
PFields['one'] = runtime.Field(InnerType, default=Inner(7))
PFields['boxes'] = runtime.Field(types.TableType(types.TableKind.TABLE, types.TextType(64), BoxType, 4))
PFields['counts'] = runtime.Field(types.TableType(types.TableKind.TALLY, types.TupleType((types.TextType(64), types.IntType())), types.IntType(), 16))
PFields['recent'] = runtime.Field(types.TableType(types.TableKind.LRU, types.IntType(), types.BytesType(64), 2))
PFields['queue'] = runtime.Field(types.TableType(types.TableKind.ORDERED, types.IntType(), types.FloatType(), 4))
PFields['row'] = runtime.Field(types.ArrayType(InnerType, 3), default=Inner(0, ''))
PFields['calls'] = runtime.Field(types.CounterType())
PFields['took'] = runtime.Field(types.HistogramType())
PFields['mine'] = runtime.Field(types.IntType(), kind='local', default=0)


def middle(a, b):
    return wrap(a + b) // 2


class PState(runtime.State):
    """A little of everything."""
    __slots__ = ('rate', 'total', 'word', 'last', 'pair', 'one', 'boxes', 'counts', 'recent', 'queue', 'row', 'calls', 'took')

    def _weight(self, user):
        return wrap(sum((n for key, n in self.counts.items() if key[0] == user)))

    @runtime.hook(outside=True, local=0)
    def request(self, rpc, outside, local):
        if outside.rand() < self.rate and (not rpc.msg.user.startswith('x')):
            return Reject(Code.UNAVAILABLE, '{} {:d} {{{}}}'.format(rpc.msg.user, rpc.msg.level, self.total))
        self.calls.add(1)
        before = local.mine
        local.mine = wrap(before + (middle(rpc.msg.n, 3) * 2 - 1))
        self.word = shift_left_u64(self.word, 3) ^ wrap_u64(local.mine)
        if size(rpc.msg.user) <= 4:
            self.last = rpc.msg.user
        else:
            self.__overflow__['last'] += 1
        new = stored((rpc.msg.user, rpc.msg.n % 7))
        if new is not MISFIT:
            self.pair = new
        else:
            self.__overflow__['pair'] += 1
        key = (rpc.msg.user, len(rpc.msg.tags))
        self.counts[key] = wrap(self.counts[key] + max(rpc.msg.n, 0, self.total))
        if 0 <= self.total < rpc.msg.n <= self._weight(rpc.msg.user):
            self.boxes[rpc.msg.user] = Box(self.total, copied(self.one), 'new')
        if rpc.msg.user in self.boxes:
            key_2 = rpc.msg.user
            self.boxes.set_field(key_2, ('inner', 'k'), self.boxes[key_2].inner.k + 1)
            key_3 = rpc.msg.user
            self.boxes.set_field(key_3, ('n',), floordiv(self.boxes[key_3].n, rpc.msg.n))
        box = self.boxes.get(rpc.msg.user)
        if box is not None:
            new_2 = stored_2(box.inner)
            if new_2 is not MISFIT:
                self.one = new_2
            else:
                self.__overflow__['one'] += 1
        self.row[rpc.msg.n % 3] = self.one
        self.recent[rpc.msg.n] = rpc.msg.raw
        self.queue[rpc.msg.n] = float_div(rpc.msg.x, float(self.total))
        return Forward(3000000)

    @runtime.hook(outside=True)
    def response(self, rpc, outside):
        match (rpc.msg.level, rpc.msg.note):
            case [Level.LOW, None]:
                self.total = wrap(self.total - 1)
            case [Level.HIGH, note] if note is not None and size(note) > 2:
                self.total = wrap(self.total + size(note))
            case [_, 'a' | 'b']:
                return Respond(rpc.msg.raw)
            case _:
                pass
        short = {t: None for t in rpc.msg.tags if size(t) < 4}
        for tag in short | {t_2: None for t_2 in rpc.msg.tags}:
            if tag == 'stop':
                break
            self.total = wrap(self.total + rpc.msg.sizes.get(tag, 1))
        best = first_max(self.queue.keys(), key=lambda item: self.queue.get(item, 0.0), default=-1)
        if any((size_2 > best for size_2 in rpc.msg.sizes.values())):
            user = outside.ask('rpc.Headers.get', rpc.headers, 'x-user')
            rpc.msg.user = user if user is not None else ''
        for index in range(2, 0, -1):
            self.total = wrap(self.total + self.row[index].k)
        return Forward()

    @runtime.hook(outside=True)
    def finish(self, rpc, outcome, outside):
        self.took.observe(outcome.elapsed)
        first = self.queue.pop_first()
        if first is not None and first[1] > sum_of_floats(self.queue.values()):
            outside.trace(f'{first[0]} took {outcome.elapsed // 1000} us')
            return Retry()
        del self.boxes[self.last]
        return None


P = runtime.policy('P', Element, PState, PFields, runtime.Origin('everything.py', 46, '77639090f424a0b8736a836f15f2c93e86a445839105e27a5c33df92e9c0de5b'), structs=(Inner, Box))
