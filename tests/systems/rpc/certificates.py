# SPDX-License-Identifier: Apache-2.0
"""An authority and certificates of its own for a test, by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.parts import need


class Authority:
    """Signs for `localhost` and 127.0.0.1, and for clients by their names."""

    def __init__(self, folder: Path) -> None:
        need("openssl")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._run(
            "req", "-x509", *self._key("ca"), "-out", "ca.crt", "-days", "2", "-subj", "/CN=test authority"
        )

    @property
    def root(self) -> Path:
        return self.folder / "ca.crt"

    def signed(self, name: str, san: str, subject: str = "") -> tuple[Path, Path]:
        """Key and certificate; `san`: such as `DNS:localhost,IP:127.0.0.1`; `subject`: its common name is `name`."""
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={san}\n")
        of = subject or f"/CN={name}"
        self._run("req", *self._key(name), "-out", f"{name}.csr", "-utf8", "-subj", of)
        self._run(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"),
            *("-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt"),
        )
        return self.folder / f"{name}.key", self.folder / f"{name}.crt"

    @staticmethod
    def _key(name: str) -> tuple[str, ...]:
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        return (*curve, "-keyout", f"{name}.key")

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)
