"""The document and its page as they are served, and real answers held against it, field by field."""

import re
from typing import Any

import httpx
import pytest

from tests import contract
from tests.acceptance.stack import Account, Stack, chat, image
from tests.acceptance.test_every_route import LINE, over, things
from tests.conditions import await_condition

FOREIGN = re.compile(r"""(?:src|href|action|url\()\s*=?\s*["']?(?:https?:)?//""", re.IGNORECASE)
#: What every kind of thing can be asked for, of an account that has one of each.
SHOWN = [path for path, methods in contract.document()["paths"].items() if "get" in methods and path.startswith("/v1")]
#: Those of Messages need a header of theirs: see `test_message_batches`. Deliveries of one thing: `test_callbacks`.
APART = {
    "/v1/jobs/{job_id}/stream",
    "/v1/pictures/{name}",
    "/v1/documents/{name}",
    "/v1/invoices/{invoice_id}/pdf",
    "/v1/files/{id}/content",
}
APART |= {path for path in SHOWN if path.startswith("/v1/messages/")}
APART |= {"/v1/jobs/{job_id}/deliveries", "/v1/batches/{id}/deliveries", "/v1/events/{event_id}/deliveries"}
#: Of a batch without failures it shows nothing: see `test_batch_errors`.
APART |= {"/v1/batches/{id}/errors"}
#: They take the operator's password: see `test_operator`.
APART |= {path for path in SHOWN if path.startswith("/v1/operator/")}
EXAMPLES = {
    operation.id: operation.row.examples
    for operation in contract.operations()
    if operation.row.examples and operation.path.startswith("/v1") and not operation.row.operator
}
EXAMPLE_NAMES = [(name, title) for name in EXAMPLES for title in EXAMPLES[name]]


def test_the_document_is_served_without_a_key_and_once(stack: Stack) -> None:
    answer = httpx.get(f"{stack.url}/openapi.json")
    contract.check("GET", "/openapi.json", answer)
    assert answer.json() == contract.document()
    known = {"If-None-Match": f'"another", {answer.headers["etag"]}'}
    again = httpx.get(f"{stack.url}/openapi.json", headers=known)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    assert httpx.get(f"{stack.url}/openapi.json", headers={"If-None-Match": '"another"'}).status_code == 200


def test_the_page_and_all_that_it_needs_come_from_this_server(stack: Stack) -> None:
    page = httpx.get(f"{stack.url}/docs")
    contract.check("GET", "/docs", page)
    assert not FOREIGN.search(page.text)
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'"
    assert not any("//" in allowed or "*" in allowed for allowed in policy.values())
    needed = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(needed) == 4
    for place in needed:
        asset = httpx.get(str(page.url.join(place)))
        assert asset.status_code == 200 and len(asset.content) > 500, place


@pytest.mark.parametrize("name", ["redoc.standalone.js", "..%2f__init__.py", "%00", "core.py"])
def test_nothing_else_can_be_had_where_the_page_keeps_its_files(stack: Stack, name: str) -> None:
    answer = httpx.get(f"{stack.url}/docs/{name}")
    assert answer.status_code == 404 and answer.json()["error"]["type"] == "not_found"


def test_a_405_names_every_method_of_the_path(account: Account) -> None:
    for path, methods in (("/jobs", "GET, POST"), ("/webhooks/x", "DELETE, GET, PATCH"), ("/models/a/b", "GET")):
        answer = account.live.request("OPTIONS", path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)


@pytest.mark.parametrize(("name", "title"), EXAMPLE_NAMES)
def test_the_examples_work_as_they_stand(account: Account, name: str, title: str) -> None:
    path, method = place_of(name)
    url = path
    if "/batches/{id}" in path:
        url = path.format(id=failed_batch(account))
    elif "{id}" in path:
        url = path.format(id=account.live.post("/webhooks", json=EXAMPLES["create_webhook"]["Two events"]).json()["id"])
    headers = {"anthropic-version": "2023-06-01"} if path.startswith("/v1/messages") else None
    answer = account.live.request(method, url.removeprefix("/v1"), json=EXAMPLES[name][title], headers=headers)
    assert answer.is_success, answer.text
    contract.check(method, path, answer)
    assert answer.headers["content-type"].startswith("text/event-stream") == (title == "Streaming")


def failed_batch(account: Account) -> str:
    """A batch of which a line has failed."""
    asked = {"custom_id": "a", "url": "/v1/chat/completions", "body": contents(chat("refuse this example"))}
    with account.stack.script({"contains": "refuse this example", "fault": {"status": 400}}):
        id = str(account.live.post("/batches", json={"requests": [asked]}).json()["id"])
        await_condition(lambda: over(account, id), what="the batch")
    return id


def contents(job: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if name != "type"}


def place_of(name: str) -> tuple[str, str]:
    paths = contract.document()["paths"].items()
    return next(
        (path, method.upper())
        for path, methods in paths
        for method, operation in methods.items()
        if operation["operationId"] == name
    )


def test_what_can_be_shown_has_the_documented_fields(account: Account) -> None:
    asked = {"model": "gpt-4", "input": "Hello."}
    ids = {**things(account), "model": "gpt-4", "response": account.live.post("/responses", json=asked).json()["id"]}
    account.live.post(f"/webhooks/{ids['webhook']}/test")
    results = f"/batches/{ids['batch']}/results"  # a line is listed a moment after its end
    await_condition(lambda: account.live.get(results).json()["data"], what="a line among the batch's results")
    for path in sorted(set(SHOWN) - APART):
        kind = "batch" if "/batches/" in path else path.split("/")[2].removesuffix("s")
        answer = account.live.get(re.sub(r"{\w+}", ids.get(kind, ""), path).removeprefix("/v1"))
        assert answer.status_code == 200, (path, answer.text)
        contract.check("GET", path, answer)
        assert answer.json().get("data") != [], f"{path} shows nothing, so nothing was held against the document"


def test_jobs_of_every_type_and_end_have_the_documented_fields(account: Account) -> None:
    for body in (chat(n=2, logprobs=True), image(n=2), image(response_format="b64_json"), chat("say TOOL")):
        job = account.live.get(f"/jobs/{account.run(body)['id']}")
        contract.check("GET", "/v1/jobs/{job_id}", job)
    with account.stack.script({"contains": "no thanks", "fault": {"status": 400}}):
        failed = account.live.get(f"/jobs/{account.run(chat('no thanks'))['id']}")
    assert failed.json()["error"]
    contract.check("GET", "/v1/jobs/{job_id}", failed)
    cancelled = account.live.post(f"/jobs/{failed.json()['id']}/cancel")
    contract.check("POST", "/v1/jobs/{job_id}/cancel", cancelled)


def test_what_changes_things_answers_with_the_documented_fields(account: Account) -> None:
    ids = things(account)
    for path, kind, method in (
        ("/v1/webhooks/{id}/rotate", "webhook", "POST"),
        ("/v1/webhooks/{id}/test", "webhook", "POST"),
        ("/v1/webhooks/{id}", "webhook", "DELETE"),
        ("/v1/events/{event_id}/redeliver", "event", "POST"),
        ("/v1/files/{id}", "file", "DELETE"),
    ):
        answer = account.live.request(method, re.sub(r"{\w+}", ids[kind], path).removeprefix("/v1"))
        assert answer.status_code == 200, answer.text
        contract.check(method, path, answer)


def test_a_failed_batch_and_an_upload_have_the_documented_fields(account: Account) -> None:
    upload = account.live.post("/files", files={"file": ("a.jsonl", b"not json\n")}, data={"purpose": "batch"})
    contract.check("POST", "/v1/files", upload)
    wrong: dict[str, Any] = {"input_file_id": upload.json()["id"]}
    dry = account.live.post("/batches", json={**wrong, "dry_run": True})
    contract.check("POST", "/v1/batches", dry)
    assert dry.json()["errors"]["data"][0]["line"] == 1
    made = account.live.post("/batches", json={"requests": [{**LINE, "url": "/v1/unknown"}]})
    contract.check("POST", "/v1/batches", made)

    def failed() -> httpx.Response | None:
        answer = account.live.get(f"/batches/{made.json()['id']}")
        return answer if answer.json()["status"] == "failed" else None

    contract.check("GET", "/v1/batches/{id}", await_condition(failed, what="the failure"))


def test_other_media_types_are_the_documented_ones(account: Account) -> None:
    ids = things(account)
    contract.check("GET", "/v1/usage", account.live.get("/usage", params={"format": "csv"}))
    contract.check("GET", "/v1/files/{id}/content", account.live.get(f"/files/{ids['file']}/content"))
    picture = account.run(image())["result"]["data"][0]["url"]
    contract.check("GET", "/v1/pictures/{name}", httpx.get(picture))
    job = account.run(chat())["id"]
    contract.check("GET", "/v1/jobs/{job_id}/stream", account.live.get(f"/jobs/{job}/stream"))


def test_refusals_have_the_documented_headers(stack: Stack) -> None:
    """A refused POST that makes jobs tells what is left of the limit too, and the document says so."""
    account = stack.account(plan="business")
    document, path = contract.document(), "/v1/chat/completions"
    wrong: list[dict[str, Any]] = [
        {"json": {}},
        {"content": b"{}", "headers": {"content-type": "text/plain"}},
        {"json": {**EXAMPLES["create_chat_completion"]["A question"], "model": "gpt-99"}},
    ]
    for more in wrong:
        answer = account.live.post(path.removeprefix("/v1"), **more)
        shown = document["paths"][path]["post"]["responses"][str(answer.status_code)]
        refusal = document["components"]["responses"][shown["$ref"].rpartition("/")[2]]
        documented = {name.lower() for name in refusal["headers"]}
        told = {name for name in answer.headers if name.startswith(("x-", "fusionai-"))}
        assert answer.status_code >= 400 and "x-ratelimit-remaining-requests" in told
        assert told <= documented, told - documented
    account.close()
