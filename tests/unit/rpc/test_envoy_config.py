# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from transect.rpc.chain.address import Endpoint
from transect.rpc.envoy.config import Module, Settings, bootstrap, to_json


@pytest.mark.parametrize(
    ("text", "endpoint", "written"),
    [
        ("127.0.0.1:50051", Endpoint("127.0.0.1", 50051), "127.0.0.1:50051"),
        (":8080", Endpoint("127.0.0.1", 8080), "127.0.0.1:8080"),
        ("[::1]:1", Endpoint("::1", 1), "[::1]:1"),
        ("echo.svc:443", Endpoint("echo.svc", 443), "echo.svc:443"),
        ("unix:/run/a.sock", Endpoint("", 0, "/run/a.sock"), "unix:/run/a.sock"),
        ("unix:///run/a.sock", Endpoint("", 0, "/run/a.sock"), "unix:/run/a.sock"),
    ],
)
def test_addresses(text: str, endpoint: Endpoint, written: str) -> None:
    assert Endpoint.parse(text) == endpoint
    assert str(endpoint) == written


@pytest.mark.parametrize("text", ["localhost", "host:port", "host:99999", ""])
def test_what_is_no_address_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write host:port or unix:PATH"):
        Endpoint.parse(text)


def test_settings_are_lines() -> None:
    told = Settings(streaming=("/a.B/C",), routes=("x", "y"), control="/c", record="/r", max_message=7)
    assert told.text().split("\n") == [
        "streaming /a.B/C",
        "route x",
        "route y",
        "max_message 7",
        "on_compressed reject",
        "on_other reject",
        "control /c",
        "record /r",
        "record_room 4194304",
    ]


def test_keys_go_with_what_is_remembered_of_words() -> None:
    lines = Settings(keys="/k e y", heard="/h").text().split("\n")
    assert lines[-2:] == ["identity /k e y", "heard /h"]
    assert Settings(keys="/k").text().split("\n")[-1] == "identity /k", "a version alone remembers for itself"


def test_the_whole_configuration() -> None:
    config = bootstrap(
        listen=Endpoint(port=80),
        upstream=Endpoint("echo.svc", 81),
        modules=[Module(Path("/m/libtransect_0123.so"))],
        routes={"canary": Endpoint("10.0.0.1", 82)},
        admin=Path("/run/admin.sock"),
    )
    assert json.loads(to_json(config)) == config
    listener = config["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    module, router = manager["http_filters"]
    assert module["typed_config"]["dynamic_module_config"]["name"] == "transect_0123"
    assert module["typed_config"]["filter_config"]["value"] == Settings().text()
    assert router["name"] == "router"
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert [r["route"]["cluster"] for r in routes] == ["route_canary", "upstream"], "the named ones first"
    assert routes[0]["request_headers_to_remove"] == ["x-transect-route"]
    clusters = {c["name"]: c["type"] for c in config["static_resources"]["clusters"]}
    assert clusters == {"upstream": "STRICT_DNS", "route_canary": "STATIC"}
    assert config["admin"] == {"address": {"pipe": {"path": "/run/admin.sock", "mode": 0o600}}}
