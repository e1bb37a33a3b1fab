# SPDX-License-Identifier: Apache-2.0
"""The chain that is soaked: elements which keep something for each user, or each call under way."""

from transect.examples.rpc.admission import Admission
from transect.examples.rpc.logging import Logging
from transect.examples.rpc.metrics import Metrics
from transect.examples.rpc.mutation import Mutation
from transect.examples.rpc.rate_limit import RateLimit
from transect.rpc import Chain

chain = Chain(
    service="bench.Echo",
    upstream="127.0.0.1:1",
    protos=["echo.proto"],
    elements=[Metrics(), Admission(), RateLimit(per_second=1000), Logging(), Mutation()],
)
