# SPDX-License-Identifier: Apache-2.0
"""Building the wheel, installing it into an empty environment, and running it as an ordinary user.

Wheels of the run-time dependencies are kept in ~/.cache/transect/wheels: once they are there, no network is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.parts import ROOT
from transect.base.unavailable import Unavailable

WHEELS = Path.home() / ".cache" / "transect" / "wheels"
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
NOBODY = 65534  # whom tests that run as root become
LIMIT_S = 400  # of a command, on a machine that runs other tests as well

Ended = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True)
class Installed:
    """An environment with the product in it."""

    wheel: Path
    environment: Path

    @property
    def package(self) -> Path:
        (found,) = self.environment.glob("lib/python3.*/site-packages/transect")
        return found

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    def folder(self) -> Path:
        """A new empty folder, which belongs to the ordinary user."""
        made = Path(tempfile.mkdtemp(dir=self.environment.parent))
        if os.geteuid() == 0:
            os.chown(made, NOBODY, NOBODY)
        return made

    def transect(self, *words: str | Path, cwd: Path, path: str = SYSTEM_PATH, **env: str) -> Ended:
        """`transect WORDS` as an ordinary user."""
        return self.run(self.environment / "bin" / "transect", *words, cwd=cwd, path=path, **env)

    def run(self, *command: str | Path, cwd: Path, path: str = SYSTEM_PATH, **env: str) -> Ended:
        """A command as an ordinary user who has no other transect within reach."""
        plain = {"PATH": f"{self.environment}/bin:{path}", "HOME": str(cwd), "LANG": "C.UTF-8"} | env
        return subprocess.run(
            [*as_ordinary_user(), *command],
            cwd=cwd,
            env=plain,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )


def as_ordinary_user() -> list[str]:
    """What a command begins with: it becomes somebody without rights, when we are root."""
    if os.geteuid():
        return []
    # Not subprocess's own `user=`: it forks, and gRPC, which other tests use in this process, dies of that.
    return [str(shutil.which("setpriv")), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def install(root: Path) -> Installed:
    """The wheel of the tracked files in an empty environment below `root`, with its dependencies and the rpc extra."""
    wheel = build(tracked(root / "tree"), root / "dist")
    installed = Installed(wheel, root / "environment")
    ours("venv", "--without-pip", installed.environment, python=python_for_all())
    with_dependencies(installed)
    return installed


def tracked(tree: Path) -> Path:
    """A copy of the tracked files, and of nothing else."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.rstrip("\0").split("\0"):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "benchmarks/")):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    return tree


def build(tree: Path, folder: Path) -> Path:
    """The wheel of a source tree."""
    ours("build", "--wheel", "--no-isolation", "--outdir", folder, tree)
    (wheel,) = folder.glob("*.whl")
    return wheel


def python_for_all() -> Path:
    """An interpreter that an ordinary user can run: this one's, else the system's."""
    own = Path(getattr(sys, "_base_executable", sys.executable))
    for python in (own, *(Path(folder, "python3") for folder in SYSTEM_PATH.split(":"))):
        if python.exists() and _home(python) == _home(python, as_ordinary_user()) != "":
            return python
    raise Unavailable(
        "a Python for ordinary users", f"{own} is out of their reach", "apt-get install python3"
    )


def _home(python: Path, somebody: Sequence[str] = ()) -> str:
    """Where the interpreter has its library, as somebody finds it."""
    asked: list[str | Path] = [*somebody, python, "-c", "import sys, venv; print(sys.base_prefix)"]
    return subprocess.run(asked, capture_output=True, text=True).stdout


def with_dependencies(installed: Installed) -> None:
    """Install the wheel; what it needs comes from WHEELS, and is brought there when it is missing."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["rpc"]]
    WHEELS.mkdir(parents=True, exist_ok=True)
    versions = installed.environment.parent / "versions.txt"
    versions.write_text(
        "\n".join(re.findall(r"^[\w.-]+==[^\\\s]+", (ROOT / "requirements.lock").read_text(), re.M))
    )
    # --python leaves the environment empty: it never gets a pip of its own.
    pip = ("pip", "--python", installed.python, "--quiet", "--disable-pip-version-check")
    offline = (*pip, "install", "--no-index", "--find-links", WHEELS, "--constraint", versions)
    if ours(*offline, *needed, check=False).returncode:
        fetched = ours(
            *pip,
            "download",
            "--only-binary",
            ":all:",
            "--dest",
            WHEELS,
            "--constraint",
            versions,
            *needed,
            check=False,
        )
        if fetched.returncode:
            why = fetched.stderr.strip().splitlines()[-1]
            raise Unavailable(
                "wheels of the dependencies", why, "with a network: make test ARGS=tests/systems/wheel"
            )
    ours(*offline, f"transect[rpc] @ {installed.wheel.as_uri()}")


def ours(module: str, *words: str | Path, python: Path = Path(sys.executable), check: bool = True) -> Ended:
    """`python -m MODULE WORDS`, which must succeed."""
    done = subprocess.run([python, "-m", module, *words], capture_output=True, text=True)
    assert not check or done.returncode == 0, f"{module}: {done.stdout}{done.stderr}"
    return done
