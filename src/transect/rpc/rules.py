# SPDX-License-Identifier: Apache-2.0
"""What is wrong with an element whatever service it meets.  It needs no descriptors, so `check` tells it too."""

from __future__ import annotations

from dataclasses import dataclass

from transect.base.diagnostic import Diagnostics
from transect.base.span import Span
from transect.core.ir import Program
from transect.core.types import DictType, OptionType, SeqType, ViewType
from transect.rpc.needs import Access, Needs, headers_named, needs


def check_element(program: Program, diagnostics: Diagnostics) -> None:
    """Report what no message and no carrier could make right."""
    rules = _Rules(needs(program), diagnostics)
    rules.early_reads()
    rules.writes()
    rules.header_names()


@dataclass(frozen=True, slots=True)
class _Rules:
    needs: Needs
    diagnostics: Diagnostics

    def error(self, code: str, message: str, at: Span, label: str, help: str) -> None:
        self.diagnostics.error(code, message, at, label=label, help=help)

    def early_reads(self) -> None:
        for use in self.needs.uses_of("request", "reply", "reply_body"):
            self.error(
                "R009",
                f"`request` reads `rpc.{use.field}`, but there is no reply yet",
                use.span,
                "runs before the reply",
                "move this to `response`",
            )

    def writes(self) -> None:
        for access in self.needs.accesses:
            if access.write:
                self._late(access)
                self._item(access)
                self._whole(access)

    def _late(self, access: Access) -> None:
        names = {root.name for root in access.roots}
        request_gone = "msg" in names and access.hook != "request"
        if request_gone or ("reply" in names and access.hook == "finish"):
            where = "`request`" if "msg" in names else "`response`"
            self.error(
                "R008",
                f"`{access.hook}` writes `{access.field}` of a message that has gone",
                access.span,
                "nobody will see this",
                f"write it in {where}",
            )

    def _item(self, access: Access) -> None:
        if any(root.item for root in access.roots):
            self.error(
                "R010",
                f"`{access.field}` belongs to an item of a repeated or map field, which is read-only",
                access.span,
                "an item",
                "change fields outside of repeated and map fields",
            )

    def _whole(self, access: Access) -> None:
        member = self.needs.program.view(access.view).member(access.field)
        assert member is not None, f"{access.view} has no {access.field}"
        inner = member.type.item if isinstance(member.type, OptionType) else member.type
        if not isinstance(inner, SeqType | DictType | ViewType) or access.clears:
            return
        what = "sub-message" if isinstance(inner, ViewType) else "repeated or map field"
        self.error(
            "R010",
            f"`{access.field}` is a {what}, which cannot be assigned",
            access.span,
            "not a plain value",
            "assign its fields one by one",
        )

    def header_names(self) -> None:
        """HTTP/2 has lower case only, so that another name is never found, and what it guards is open."""
        for name in headers_named(self.needs.program):
            assert isinstance(name.value, str), "a header's name is text"
            if name.value != name.value.lower():
                self.error(
                    "R022",
                    f'no header has the name "{name.value}"',
                    name.span,
                    "not in lower case",
                    f'write "{name.value.lower()}"',
                )
