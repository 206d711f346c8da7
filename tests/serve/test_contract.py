"""Whatever is sent to the documented routes, the platform answers with a sentence and never with a 5xx."""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, given, settings

from serve.archives import KINDS
from serve.platform_api import PREFIX
from tests.serve.conftest import World

EXAMPLES = 25

schemathesis.serializer.alias(list(KINDS), "application/octet-stream")


def test_no_request_makes_the_platform_fail(world: World) -> None:
    document = schemathesis.openapi.from_asgi(f"{PREFIX}/openapi.json", world.client.app)
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) >= 20
    for operation in operations:
        for who in ("owner", "member"):
            _ask(operation, {"Authorization": f"Bearer {world.keys[who]}"})


def _ask(operation: schemathesis.APIOperation, headers: dict[str, str]) -> None:
    @given(operation.as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def asked(case: schemathesis.Case) -> None:
        answer = case.call(headers=headers, timeout=300)  # a loaded machine is no failure
        assert answer.status_code < 500, f"{operation.label}: {answer.text}"

    asked()
