# SPDX-License-Identifier: Apache-2.0
"""Elements that do what the words of a message say, in `request` those with q, in `response` those with p."""

from transect.lang import Local, Map, local, ms, table, text
from transect.rpc import Cause, Code, Element, Forward, Message, Outcome, Reject, Rpc, Verdict


class Ask(Message):
    text: str
    note: str


class Answer(Message):
    text: str
    note: str


class Setter(Element):
    """Apart, because a gRPC client refuses it for methods whose requests stream."""

    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        if "qset" in rpc.msg.text:
            rpc.headers.set("x-who", "judged")
            rpc.headers.remove("x-secret")
        if "qbad" in rpc.msg.text:
            rpc.headers.set("x-who", "é")
            rpc.headers.set("x-who-bin", "a,b")
            found = rpc.headers.get("x-who")
            rpc.msg.note = "absent" if found is None else found
        own = rpc.headers.get("x-own")  # a name of the protocol's
        if "qown" in rpc.msg.text and own is not None:
            found = rpc.headers.get(own)
            rpc.msg.note = "absent" if found is None else found
            rpc.headers.set(own, "9")
        if "qlater" in rpc.msg.text:
            rpc.headers.set("x-late", "too late")
        return Forward()


class Judge(Element):
    codes: Map[str, Code] = table(512)  # of each call, what `finish` heard
    causes: Map[str, Cause] = table(512)
    name: Local[str] = local(text(64))
    own: Local[str] = local(text(64))

    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        name = rpc.headers.get("x-call")
        if name is None:
            return Reject(Code.UNAUTHENTICATED, "x-call is missing")
        self.name = name
        own = rpc.headers.get("x-own")
        self.own = "" if own is None else own
        if "qread" in rpc.msg.text:
            found = rpc.headers.get("x-in")
            rpc.msg.note = "absent" if found is None else found
        if "qtrail" in rpc.msg.text:
            rpc.trailers.set("x-early", "set in request")
        if "qwrite" in rpc.msg.text:
            rpc.msg.note = "written"
        if "qreject" in rpc.msg.text:
            return Reject(Code.PERMISSION_DENIED, "no, not you")
        if "qblank" in rpc.msg.text:
            return Reject(Code.PERMISSION_DENIED, "  between blanks ")
        if "qwait" in rpc.msg.text:
            return Forward(after=ms(30))
        return Forward()

    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        if "pbad" in rpc.reply.text:
            rpc.headers.set("x-server", "a\nb")
            rpc.trailers.set("x-tail", "é")
            rpc.trailers.set("x-raw-bin", "?")
        if "pown" in rpc.reply.text:
            rpc.headers.set(self.own, "9")
            rpc.trailers.set(self.own, "9")
        if "pread" in rpc.reply.text:
            found = rpc.headers.get("x-server")
            rpc.reply.note = "absent" if found is None else found
        if "pset" in rpc.reply.text:
            rpc.headers.set("x-reply", "judged")
            rpc.headers.remove("x-inside")
        if "ptrail" in rpc.reply.text:
            rpc.trailers.set("x-end", "set in response")
            rpc.trailers.remove("x-hidden")
        if "pwrite" in rpc.reply.text:
            rpc.reply.note = "written"
        if "preject" in rpc.reply.text:
            return Reject(Code.FAILED_PRECONDITION, "not this reply")
        if "pwait" in rpc.reply.text:
            return Forward(after=ms(30))
        return Forward()

    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> None:
        self.codes[self.name] = outcome.code
        self.causes[self.name] = outcome.cause
