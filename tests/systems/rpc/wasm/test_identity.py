# SPDX-License-Identifier: Apache-2.0
"""A plugin knows who calls as the native module does: by the certificate, over TLS; and vouches for nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.systems.rpc.envoy import test_tls
from transect.rpc.envoy import Endpoint, bootstrap, find, start
from transect.rpc.envoy.process import EnvoyFailed
from transect.rpc.wasm import Plugin, PluginSettings
from transect.rpc.wasm.deploy import deploy_plugin

pytestmark = pytest.mark.needs("envoy", "clang-19", "wasm-ld-19", "grpcio", "openssl")


def test_callers_are_known_by_their_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_tls, "deploy", deploy_plugin)
    test_tls.test_both_sides(tmp_path)


class WithKeys(PluginSettings):
    """As somebody who writes a host's configuration by hand may write them."""

    def text(self) -> str:
        return f"{super().text()}\nidentity /identity.key"


def test_a_plugin_refuses_keys_and_says_why(probe: Path, tmp_path: Path) -> None:
    config = bootstrap(
        listen=Endpoint(),
        upstream=Endpoint(port=1),
        modules=[Plugin(probe, WithKeys(elements=2))],
        admin=tmp_path / "admin.sock",
    )
    with pytest.raises(EnvoyFailed) as failed:
        start(find(), config, tmp_path, modules=probe.parent, workers=1)
    assert "cannot vouch for anybody, because it has no file of keys" in failed.value.log.read_text()
