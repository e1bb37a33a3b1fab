# SPDX-License-Identifier: Apache-2.0
"""What `transect llm run` does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from transect.base.followed import Changes
from transect.base.traced import to_stderr
from transect.base.weights import NoWeights, read_weights
from transect.cli.exits import Exit
from transect.cli.failure import refused, tell, usage
from transect.cli.strata import Stratum, need_packages
from transect.control.server import Taken
from transect.identity import NoKeys
from transect.lang.functions import PolicyError
from transect.llm.config import ConfigError, Identity, weighted
from transect.llm.gateway.settings import GatewayConfig, Upstream, read_gateway
from transect.llm.saved_state import NotKept


def serve(
    policy: str | None,
    upstreams: Sequence[str],
    config: Path | None,
    state: Path | None,
    name: str | None = None,
    weights: Path | None = None,
    identity: Path | None = None,
) -> int:
    """Put a gateway in force until it is told to end."""
    need_packages(Stratum.LLM)
    to_stderr()
    from transect.llm.gateway.serve import Gateway

    try:
        settings = partial(_settings, policy, upstreams, config, state, name, weights, identity)
        changes = (
            None if weights is None else Changes(weights)
        )  # before the weights are read, so that no later change is missed
        found, path = settings()
        gateway = Gateway(found, path, _say, lambda: settings()[0], changes)
        _run(gateway.run())
    except (ConfigError, PolicyError) as wrong:
        return refused(wrong)
    except NoKeys as wrong:
        return usage(str(wrong))
    except NoWeights as wrong:
        return usage(f"{weights} {wrong}")
    except msgspec.ValidationError:  # from the command line only: mistakes in a file are a `ConfigError`
        return usage(f"`--upstream` wants http://HOST:PORT, not {', '.join(upstreams)}")
    except (NotKept, Taken) as wrong:
        tell(wrong)
        return Exit.UNAVAILABLE
    return Exit.DONE


def _run(gateway: Coroutine[Any, Any, None]) -> None:
    """In uvloop where there is one: a third of a request's processor time is the loop's."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(gateway)
    else:
        uvloop.run(gateway)


def _settings(
    policy: str | None,
    upstreams: Sequence[str],
    config: Path | None,
    state: Path | None,
    name: str | None,
    weights: Path | None,
    identity: Path | None,
) -> tuple[GatewayConfig, Path]:
    """The file's settings, and those of the command line over them.  Raises `ConfigError`."""
    path = Path.cwd() / "transect.toml" if config is None else config.absolute()
    found = GatewayConfig(identity=Identity(unknown="share")) if config is None else read_gateway(path)
    over: dict[str, object] = {}
    if policy is not None:
        is_file = policy.partition(":")[0].endswith(".py")
        over["policy"] = str(Path(policy).absolute()) if is_file else policy
    if upstreams:
        over["upstreams"] = tuple(msgspec.convert({"url": url}, Upstream) for url in upstreams)
    if state is not None:
        over["state"] = str(state.absolute())
    if name is not None:
        over["name"] = name
    if identity is not None:
        over["identity"] = msgspec.structs.replace(found.identity, keys=str(identity.absolute()))
    found = msgspec.structs.replace(found, **over)
    return (found if weights is None else weighted(found, read_weights(weights))), path


def _say(text: str) -> None:
    print(text, flush=True)
