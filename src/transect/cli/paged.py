# SPDX-License-Identifier: Apache-2.0
"""`transect top` as a web page."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator

from transect.control.pages import HTML, JSON, Pages, html
from transect.rpc.chain.address import Endpoint
from transect.stack.top import View

SLACK_S = 2.0  # that a look may be late before the last view counts as old


class Silent(Exception):
    """The stack has not answered for so long that the last view says nothing about it any more."""


class Latest:
    """The last view, for browsers."""

    def __init__(self, every: float) -> None:
        """`every`: seconds between two looks."""
        self._old_s = 2 * every + SLACK_S
        self._at = time.monotonic()
        self._text = json.dumps(None)

    def put(self, view: View) -> None:
        self._text, self._at = json.dumps(dataclasses.asdict(view)), time.monotonic()

    def text(self) -> str:
        """The view as JSON; `null` before the second look.  Raises `Silent`."""
        age = time.monotonic() - self._at
        if age > self._old_s:
            raise Silent(f"the stack has not answered for {age:.0f} s")
        return self._text


def paged(views: Iterator[View], every: float, at: Endpoint) -> None:
    """Serve the page, and keep it up to date, until the views end.  Raises `Unavailable`."""
    latest = Latest(every)
    page = html("transect.stack", "page.html")
    pages = {"/": (HTML, lambda: page), "/view": (JSON, latest.text)}
    served = Pages(at.host, at.port, pages, "--page")
    print(f"http://{served.address}/ shows it; Ctrl-C ends this", flush=True)
    try:
        for view in views:
            latest.put(view)
    finally:
        served.close()
