# SPDX-License-Identifier: Apache-2.0
"""The address of an upstream is a host, perhaps with a port and a path, or a diagnostic."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.llm.config import ConfigError
from transect.llm.gateway.settings import name_of, parse_gateway


def _name(url: str) -> str:
    text = f'policy = "vtc"\n[[upstreams]]\nurl = "{url}"\n'
    return name_of(parse_gateway(text, Path("gateway.toml")).upstreams[0])


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://127.0.0.1:9000", "127.0.0.1:9000"),
        ("https://engine_1.example/base", "engine_1.example"),
        ("http://[::1]:9000/a[b", "[::1]:9000"),
    ],
)
def test_an_upstream_is_called_by_its_host(url: str, name: str) -> None:
    assert _name(url) == name


@pytest.mark.parametrize(
    "url",
    [
        "http://a]b:9000",
        "http://[::1",
        "http://a:ms",
        "http://a\u2100b:1",
        "http://a..b",
        f"http://{'a' * 64}.b",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="S03"):
        _name(url)
