# SPDX-License-Identifier: Apache-2.0
"""A plugin knows who calls as the native module does: by the certificate, over TLS on both sides."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.systems.rpc.envoy import test_tls
from transect.rpc.wasm.deploy import deploy_plugin

pytestmark = pytest.mark.needs("envoy", "clang-19", "wasm-ld-19", "grpcio", "openssl")


def test_callers_are_known_by_their_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_tls, "deploy", deploy_plugin)
    test_tls.test_both_sides(tmp_path)
