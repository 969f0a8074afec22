"""Schemathesis over the whole document: no 5xx, and no answer that the document does not promise, whatever is sent.

Everything is made from one seed, so that a failure comes again; `pytest -s` shows it, and how much was sent.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings

from shared.submissions.catalogue import catalogue
from tests import contract
from tests.acceptance.stack import OPERATOR_PASSWORD, Account, Stack, embedding
from tests.acceptance.test_every_route import LINE
from tests.conditions import await_condition

SEED = 20261121
#: Random requests an operation, beside those that are derived from each limit in its schema.
EXAMPLES = 5

#: All that is left out, and why.
CONFIG = schemathesis.Config.from_dict(
    {
        "seed": SEED,
        "generation": {"deterministic": True, "max-examples": EXAMPLES},
        "checks": {
            # A schema cannot say which models, ids and addresses there are, nor which fields go together.
            "positive_data_acceptance": {"enabled": False},
            # 413 is a refusal too.
            "negative_data_rejection": {"expected-statuses": [400, 401, 404, 405, 409, 413, 415, 422]},
        },
        "operations": [
            {
                # A query parameter that they do not know is ignored; the lines of a batch are judged after it was
                # accepted, as OpenAI does.
                "include-operation-id": ["show_job", "stream_job", "create_batch"],
                "checks": {"negative_data_rejection": {"enabled": False}},
            },
            {
                # The three bodies, alone and in a list: four times what the three calls have already been sent. So have
                # the chats of dialects whose requests are the native ones.
                "include-operation-id": [
                    "create_jobs",
                    "Infuzucreate_chat_completion",
                    "Fluencecreate_chat_completion",
                    "Fusionbasecreate_chat_completion",
                ],
                "phases": {"coverage": {"enabled": False}},
            },
        ],
    }
)
schema = contract.judge(CONFIG)
answers: Counter[int] = Counter()


@pytest.fixture(scope="module")
def customer(stack: Stack) -> Iterator[Account]:
    """Whose test key is used: its jobs are done at once, and cost nothing."""
    made = stack.account()
    yield made
    made.close()


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Kept connections."""
    with requests.Session() as made:
        made.trust_env = False
        yield made
    print(f"\nseed {SEED}: {answers.total()} requests, answers {dict(sorted(answers.items()))}")


@pytest.fixture(scope="module")
def things(customer: Account) -> dict[str, str]:
    """One of each thing that can be asked for by its id."""
    batch = _batch(customer)
    return {
        "models": "gpt-4",
        "jobs": _job(customer),
        "responses": _response(customer),
        "webhooks": _webhook(customer),
        "batches": batch["id"],
        "files": batch["output_file_id"],
        "events": customer.test.get("/events").json()["data"][0]["id"],
    }


def _job(customer: Account) -> str:
    job = customer.test.post("/jobs", json=embedding()).json()["id"]
    return str(customer.test.get(f"/jobs/{job}", params={"wait": 20}).json()["id"])


def _response(customer: Account) -> str:
    asked = {"model": "gpt-4", "input": "Hello.", "background": True}
    return str(customer.test.post("/responses", json=asked).json()["id"])


def _webhook(customer: Account) -> str:
    wanted = {"url": "http://127.0.0.1:9/", "events": ["job.failed"]}
    return str(customer.test.post("/webhooks", json=wanted).json()["id"])


def _batch(customer: Account) -> dict[str, Any]:
    id = customer.test.post("/batches", json={"requests": [LINE]}).json()["id"]

    def over() -> dict[str, Any] | None:
        seen = dict(customer.test.get(f"/batches/{id}").json())
        return seen if seen["status"] == "completed" else None

    return dict(await_condition(over, what="the batch"))


@schema.parametrize()
@settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_documented(
    case: schemathesis.Case, customer: Account, session: requests.Session, things: dict[str, str]
) -> None:
    _send(case, customer, session)
    collection, _, name = case.path.removeprefix("/v1/").partition("/{")
    if name and collection in things and case.method != "DELETE":  # again, for one that there is
        case.path_parameters[name.partition("}")[0]] = things[collection]
        _send(case, customer, session)


def _send(case: schemathesis.Case, customer: Account, session: requests.Session) -> None:
    _make_plausible(case)
    answer = case.call_and_validate(base_url=customer.stack.url, session=session, headers=_key_of(case, customer))
    answers[answer.status_code] += 1


def _key_of(case: schemathesis.Case, customer: Account) -> dict[str, str]:
    """The key in the header of the path's dialect; the operator's password for its routes."""
    if case.path.startswith("/v1/operator/"):
        return {"Authorization": f"Bearer {OPERATOR_PASSWORD}"}
    own = case.path.startswith("/api/v2/")
    return {"X-API-KEY": customer.test_key} if own else {"Authorization": f"Bearer {customer.test_key}"}


def _make_plausible(case: schemathesis.Case) -> None:
    """Go on where a random text would only be refused: a model that there is, a key that was not used before."""
    if _KEY.fullmatch((case.headers or {}).get("Idempotency-Key", "")):
        asked = f"{case.method} {case.path} {case.path_parameters} {case.body}"
        case.headers["Idempotency-Key"] = hashlib.sha256(asked.encode("utf-8", "replace")).hexdigest()
    if isinstance(case.body, dict) and case.path != "/v1/jobs/cancel":  # whose model is a filter, of any text
        listed = case.body.get("jobs")
        for job in [case.body, *(listed if isinstance(listed, list) else [])]:
            _name_model(job)


def _name_model(job: Any) -> None:
    if isinstance(job, dict) and isinstance(job.get("model"), str) and job["model"] not in {"", *catalogue().models}:
        job["model"] = _MODELS[next((field for field in _MODELS if field in job), "messages")]


_KEY = re.compile(r"[!-~]([ -~]{0,253}[!-~])?")
_MODELS = {"messages": "gpt-3.5-turbo", "input": "text-embedding-3-large", "prompt": "image-gen-2"}
