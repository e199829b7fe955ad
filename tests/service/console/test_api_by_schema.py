"""Every address of the API with whatever its schema allows, and what it does not: answered as it is documented."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.errors import SchemathesisError
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 5  # of each kind for each address
SECONDS = 30.0


@pytest.mark.slow
def test_every_address_answers_as_documented(desk) -> None:
    jobs = [desk.delivered_job().id, desk.job("2.25.2").id]
    headers = desk.as_("administrator")
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", desk.client.app)
    ends = time.monotonic() + SECONDS
    tried: set[str] = set()

    def answered(case: schemathesis.Case) -> None:
        if time.monotonic() > ends:
            return
        tried.add(case.operation.label)
        if "job" in case.path_parameters and len(tried) % 3:
            case.path_parameters["job"] = jobs[len(tried) % 2]
        try:
            response = case.call(headers=headers)
        except UnicodeEncodeError:  # no client can send such a header
            return
        unready = case.path == "/ready" and response.status_code == 503  # this node has no processes
        case.validate_response(response, checks=CHECKS[1:] if unready else CHECKS)

    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            limits = settings(
                max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
                phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            with suppress(SchemathesisError, Unsatisfiable):  # an address with nothing to get wrong
                limits(given(case=operation.as_strategy(generation_mode=mode))(answered))()
    assert len(tried) >= min(len(operations), 10)
