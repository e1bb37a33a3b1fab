# SPDX-License-Identifier: Apache-2.0
"""The files of deploy/ name programs, options, ports and metrics that exist."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.main
import yaml  # type: ignore[import-untyped]

from tests.systems.llm.running import Running, gateway
from tests.systems.llm.upstream import engine
from transect.cli.llm.run import run
from transect.llm.gateway.settings import host_and_port, parse_gateway

DEPLOY = Path(__file__).parents[3] / "deploy"
UNIT = DEPLOY / "transect-gateway.service"


def options() -> set[str]:
    """Of `transect llm run`."""
    app = typer.Typer(add_completion=False)
    app.command()(run)
    return {word for parameter in typer.main.get_command(app).params for word in parameter.opts}


def words_of(command: str) -> list[str]:
    return [word for word in shlex.split(command) if word.startswith("-")]


# ---------------------------------------------------------------- systemd


@pytest.fixture(scope="module")
def unit() -> dict[str, list[str]]:
    """The settings of the unit's service."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_starts_what_exists(unit: dict[str, list[str]]) -> None:
    (command,) = unit["ExecStart"]
    program, *verb = shlex.split(command)[:3]
    assert (Path(program).name, verb) == ("transect", ["llm", "run"])
    assert set(words_of(command)) <= options()
    credential = unit["LoadCredential"][0].partition(":")[0]
    assert f"${{CREDENTIALS_DIRECTORY}}/{credential}" in command
    assert f"/var/lib/{unit['StateDirectory'][0]}/" in command
    # Root looks for sockets in /run/transect.
    assert unit["Environment"] == ["XDG_RUNTIME_DIR=/run"] and unit["RuntimeDirectory"] == ["transect"]


def test_the_unit_gives_away_nothing(unit: dict[str, list[str]]) -> None:
    for setting in ("DynamicUser", "NoNewPrivileges", "PrivateDevices", "ProtectHome", "RestrictNamespaces"):
        assert unit[setting] == ["yes"], setting
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["ProtectSystem"] == ["strict"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd's own check, where there is one")
def test_systemd_understands_the_unit() -> None:
    done = subprocess.run(["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "is not executable" not in line]
    assert said == []


# ---------------------------------------------------------------- containers


def test_the_image_starts_what_exists_as_nobody() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", text, re.M)[-1])
    assert entry[:3] == ["transect", "llm", "run"]
    assert {word for word in entry if word.startswith("-")} <= options()
    user = re.findall(r"^USER (\d+):", text, re.M)[-1]
    assert int(user) > 0


def pins(path: Path) -> dict[str, set[str]]:
    """`name==version` → its hashes."""
    entries = re.split(r"\n(?=[a-z])", path.read_text())[1:]
    return {entry.split()[0]: set(re.findall(r"--hash=(\S+)", entry)) for entry in entries}


def test_the_image_installs_nothing_that_is_not_locked_by_hash() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    first, second = re.findall(r"pip install [^\n]*", text)
    assert "--require-hashes -r /tmp/requirements.lock" in first
    assert "--no-index --no-deps /tmp/transect-" in second, "of the wheel alone"
    tested, locked = pins(DEPLOY.parent / "requirements.lock"), pins(DEPLOY / "requirements.lock")
    assert all(hashes and hashes == tested.get(pin) for pin, hashes in locked.items())
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["llm"]]
    names = {pin.partition("==")[0] for pin in locked}
    assert {re.split(r"[^A-Za-z0-9-]", one)[0].lower() for one in wanted} <= names, "make lock"


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """What the manifest declares, by kind."""
    return {o["kind"]: o for o in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}


def test_the_manifest_is_of_one_piece(objects: dict[str, Any]) -> None:
    assert set(objects) == {"Secret", "Deployment", "Service"}
    template = objects["Deployment"]["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    assert labels >= objects["Service"]["spec"]["selector"].items()
    assert labels >= objects["Deployment"]["spec"]["selector"]["matchLabels"].items()
    volumes = {v["name"]: v for v in template["spec"]["volumes"]}
    (container,) = template["spec"]["containers"]
    assert {m["name"] for m in container["volumeMounts"]} == set(volumes)
    assert volumes["config"]["secret"]["secretName"] == objects["Secret"]["metadata"]["name"]


def test_its_configuration_is_understood_and_fits_the_ports(objects: dict[str, Any]) -> None:
    config = parse_gateway(objects["Secret"]["stringData"]["gateway.toml"], Path("gateway.toml"))
    pod = objects["Deployment"]["spec"]["template"]
    ports = {p["name"]: p["containerPort"] for p in pod["spec"]["containers"][0]["ports"]}
    assert host_and_port(config.listen)[1] == ports["api"]
    assert host_and_port(config.admin)[1] == ports["admin"]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(ports["admin"])
    assert config.limits.drain_s < pod["spec"]["terminationGracePeriodSeconds"]
    assert config.state is not None
    mounts = [m["mountPath"] for m in pod["spec"]["containers"][0]["volumeMounts"] if not m.get("readOnly")]
    assert str(Path(config.state).parent) in mounts


def test_operators_pages_are_in_no_service(objects: dict[str, Any]) -> None:
    assert [p["targetPort"] for p in objects["Service"]["spec"]["ports"]] == ["api"]


def test_the_pod_is_nobody_and_changes_nothing(objects: dict[str, Any]) -> None:
    spec = objects["Deployment"]["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not container["securityContext"]["allowPrivilegeEscalation"]


# ---------------------------------------------------------------- against a gateway


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with engine() as served, gateway(tmp_path_factory.mktemp("deploy"), [served.url]) as made:
        assert made.ask("ann").status_code == 200
        yield made


def test_every_metric_of_the_dashboard_is_there(running: Running) -> None:
    board = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"transect_\w+", target["expr"])
    }
    asked |= set(re.findall(r"transect_\w+", json.dumps(board["templating"])))
    there = {re.split(r"[{ ]", name)[0] for name in running.metrics()}
    assert len(asked) >= 12
    assert asked <= there


def test_labels_of_the_dashboard_are_those_of_its_metrics(running: Running) -> None:
    text = httpx.get(f"{running.admin}/metrics").text
    labels: dict[str, set[str]] = {}
    for name, label in re.findall(r'^(transect_\w+)\{(\w+)="', text, re.M):
        labels.setdefault(name, set()).add(label)
    for panel in json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            for by in re.findall(r"by \((\w+)\)", target["expr"]):
                for name in re.findall(r"transect_\w+", target["expr"]):
                    assert by in labels[name], f"{name} has no label {by}"


def test_probes_ask_for_pages_that_answer(running: Running, objects: dict[str, Any]) -> None:
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        where = container[probe]["httpGet"]
        assert where["port"] == "admin"
        assert httpx.get(running.admin + where["path"]).status_code == 200
