"""Who may come in, and how a refusal looks: keys, headers, routes, tenants, sizes; the same on every route."""

import gzip
from typing import Any

import httpx
import pytest

from shared import accounts, clock
from shared.key_texts import new_key
from tests.acceptance.route_table import BODIES, KEYED, LINE, OWNED, SEPARATE, filled, kind_of
from tests.acceptance.stack import Account, Stack, chat, embedding
from tests.conditions import await_condition


def check(answer: httpx.Response, status: int, type: str, param: str | None = None) -> dict[str, Any]:
    """A refusal as documented; its error object."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json" and set(answer.json()) == {"error"}
    error = dict(answer.json()["error"])
    assert set(error) - {"param"} == {"message", "type", "code", "request_id"}
    assert (error["type"], error["code"], error.get("param")) == (type, status, param)
    assert error["message"] and error["request_id"] == answer.headers["x-request-id"]
    return error


def things(account: Account) -> dict[str, str]:
    """Ids of one of each thing that the account owns."""
    webhook = account.live.post("/webhooks", json={"url": "http://127.0.0.1:9/hook", "events": ["job.failed"]}).json()
    job = account.run(chat())
    event = account.live.get("/events").json()["data"][0]
    batch = account.live.post("/batches", json={"requests": [LINE]}).json()["id"]
    done = await_condition(lambda: over(account, batch), what="the batch")
    owned = {"batch": batch, "file": done["output_file_id"], "invoice": done["invoice_id"]}
    return {"job": job["id"], "webhook": webhook["id"], "event": event["id"], **owned}


def over(account: Account, batch: str) -> dict[str, Any] | None:
    """The batch once it is over."""
    seen = dict(account.live.get(f"/batches/{batch}").json())
    return seen if seen["status"] == "completed" else None


IDS = {"job": "job_1", "webhook": "wh_1", "event": "evt_1", "batch": "batch_1", "file": "file_1", "invoice": "inv_1"}


@pytest.mark.parametrize("prefix", ["/v1", ""])
@pytest.mark.parametrize(("method", "path"), KEYED)
def test_every_route_needs_a_key(stack: Stack, method: str, path: str, prefix: str) -> None:
    answer = httpx.request(method, stack.url + prefix + filled(path, IDS), **BODIES.get((method, path), {}))
    check(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("prefix", ["/v1", ""])
def test_every_route_answers_its_account_with_and_without_the_prefix(account: Account, prefix: str) -> None:
    ids = things(account)
    for method, path in KEYED:
        url = account.stack.url + prefix + filled(path, ids)
        more = BODIES.get((method, path), {})
        answer = httpx.request(method, url, headers=account.live.headers, timeout=40, **more)
        over = {"/cancel": (409,), "/retry": (400,), "/void": (409,)}.get(path[path.rfind("/") :], ())
        assert answer.status_code in (200, 202, *over), (method, path, answer.text)
        assert answer.headers["x-request-id"].startswith("req_") and answer.headers["fusionai-version"] == "v1"


def as_absent(client: httpx.Client, routes: list[tuple[str, str]], ids: dict[str, str]) -> None:
    """Each route answers for these ids as for ids that are nobody's: 404, in the same words."""
    absent = {kind: id[:-8] + "00000000" for kind, id in ids.items()}
    for method, path in routes:
        told = []
        for wanted in (ids, absent):
            answer = client.request(method, filled(path, wanted), **BODIES.get((method, path), {}))
            message = check(answer, 404, "not_found")["message"]
            told.append(message.replace(wanted[kind_of(path) or ""], "ID"))
        assert told[0] == told[1], (method, path)


def test_anothers_things_are_as_absent_as_absent_ones(account: Account, other: Account) -> None:
    ids = things(account)
    as_absent(other.live, OWNED, ids)
    as_absent(other.test, SEPARATE, ids)
    assert account.live.get(f"/webhooks/{ids['webhook']}").json()["status"] == "enabled"
    for path in ("/jobs", "/events", "/webhooks", "/credits/transfers", "/batches", "/files", "/usage", "/invoices"):
        mine = {row["id"] for row in other.live.get(path).json()["data"]}
        assert not mine & {row["id"] for row in account.live.get(path).json()["data"]}
    assert other.live.get("/jobs", params={"ids": ids["job"]}).json()["data"] == []


def test_live_and_test_keys_do_not_see_each_others_things(account: Account) -> None:
    made = things(account)
    as_absent(account.test, SEPARATE, made)
    for path in ("/jobs", "/batches", "/files", "/usage", "/webhooks", "/events"):
        assert account.test.get(path).json()["data"] == []
    job = account.test.post("/jobs", json=embedding()).json()["id"]
    assert account.finished(job, test=True)["status"] == "succeeded"
    event = account.test.get("/events").json()["data"][0]["id"]
    webhook = account.test.post("/webhooks", json=BODIES["POST", "/webhooks"]["json"]).json()["id"]
    job = account.test.post("/jobs", json=embedding()).json()["id"]
    batch = account.test.post("/batches", json={"requests": [LINE]}).json()
    owned = {"batch": batch["id"], "file": batch["input_file_id"], "webhook": webhook, "event": event}
    as_absent(account.live, SEPARATE, {"job": job, **owned})
    assert account.finished(job, test=True)["status"] == "succeeded", "nobody has cancelled it"
    borrowed = account.live.post("/batches", json={"input_file_id": batch["input_file_id"]})
    assert borrowed.status_code in (400, 404), "a file of the other mode is no batch's input"


def wrong(key: str) -> str:
    return key[:-1] + ("0" if key[-1] != "0" else "1")


#: (a name, the headers made of a good key, the status)
AUTH: list[tuple[str, Any, int]] = [
    ("lower case scheme", lambda key: [("authorization", f"bearer {key}")], 200),
    ("two spaces", lambda key: [("authorization", f"Bearer  {key}")], 200),
    ("typo", lambda key: [("authorization", f"Bearer {wrong(key)}")], 401),
    ("other mode", lambda key: [("authorization", f"Bearer {key.replace('_live_', '_test_')}")], 401),
    ("unknown", lambda key: [("authorization", f"Bearer {new_key('live')}")], 401),
    ("no scheme", lambda key: [("authorization", key)], 401),
    ("basic", lambda key: [("authorization", f"Basic {key}")], 401),
    ("scheme alone", lambda key: [("authorization", "Bearer")], 401),
    ("empty", lambda key: [("authorization", "")], 401),
    ("truncated", lambda key: [("authorization", f"Bearer {key[:-1]}")], 401),
    ("longer", lambda key: [("authorization", f"Bearer {key}a")], 401),
    ("latin-1", lambda key: [("authorization", f"Bearer {key[:-1]}é".encode("latin-1"))], 401),
    ("huge", lambda key: [("authorization", f"Bearer {'a' * 20_000}")], 401),
    ("elsewhere", lambda key: [("x-api-key", key)], 401),
    ("two headers", lambda key: [("authorization", f"Bearer {key}"), ("x-api-key", key)], 400),
    ("two, wrong ones", lambda key: [("authorization", "x"), ("infuzu-api-key", "y")], 400),
    ("three", lambda key: [("authorization", "x"), ("x-api-key", "y"), ("infuzu-api-key", "z")], 400),
    ("twice the same", lambda key: [("authorization", f"Bearer {key}"), ("authorization", f"Bearer {key}")], 400),
]


@pytest.mark.parametrize(("name", "headers", "status"), AUTH, ids=[row[0] for row in AUTH])
def test_a_key_in_one_header(account: Account, name: str, headers: Any, status: int) -> None:
    answer = httpx.get(account.stack.url + "/v1/credits", headers=headers(account.live_key))
    if status == 200:
        assert answer.status_code == 200
    else:
        error = check(answer, status, "unauthorized" if status == 401 else "invalid_request")
        assert account.live_key not in error["message"]


def test_revoked_and_expired_keys_open_nothing(account: Account, stack: Stack) -> None:
    soon = clock.now_micros() + 500_000
    _, expiring = stack.write(lambda c: accounts.create_key(c, account.id, "live", expires_at=soon))
    id, revoked = stack.write(lambda c: accounts.create_key(c, account.id, "live"))
    stack.write(accounts.revoke_key, id)

    def status(key: str) -> int:
        return httpx.get(stack.url + "/v1/credits", headers={"authorization": f"Bearer {key}"}).status_code

    assert status(revoked) == 401
    await_condition(lambda: status(expiring) == 401, seconds=5)


def test_a_revocation_is_noticed_within_about_a_second(account: Account, stack: Stack) -> None:
    id, key = stack.write(lambda c: accounts.create_key(c, account.id, "live"))
    headers = {"authorization": f"Bearer {key}"}
    assert httpx.get(stack.url + "/v1/credits", headers=headers).status_code == 200
    stack.write(accounts.revoke_key, id)
    since = clock.monotonic()
    await_condition(lambda: httpx.get(stack.url + "/v1/credits", headers=headers).status_code == 401)
    assert clock.monotonic() - since < 3


@pytest.mark.parametrize(
    ("method", "path", "status", "type"),
    [
        ("GET", "/v1/nowhere", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/models/gpt-5000", 404, "not_found"),
        ("GET", "/v1/models/a/b/c", 404, "not_found"),
        ("DELETE", "/v1/jobs", 405, "method_not_allowed"),
        ("PUT", "/v1/jobs/job_1", 405, "method_not_allowed"),
        ("POST", "/v1/credits", 405, "method_not_allowed"),
        ("GET", "/v1/credits/thresholds", 405, "method_not_allowed"),
        ("PATCH", "/healthz", 405, "method_not_allowed"),
        ("GET", "/v1/jobs/%00", 404, "not_found"),
        ("GET", "/v1/jobs/a%00b", 404, "not_found"),
        ("POST", "/v1/webhooks/%00/test", 404, "not_found"),
        ("GET", "/v1/jobs/" + "a" * 5000, 404, "not_found"),
        ("GET", "/v1/jobs/%ff%fe", 404, "not_found"),
        ("GET", "/v1/jobs/';DROP TABLE jobs;--", 404, "not_found"),
    ],
)
def test_what_is_not_there(account: Account, method: str, path: str, status: int, type: str) -> None:
    answer = httpx.request(method, account.stack.url + path, headers=account.live.headers)
    assert len(check(answer, status, type)["message"]) < 500
    if status == 405:
        assert answer.headers["allow"]


def test_a_version_that_is_there_twice_is_named(account: Account) -> None:
    """Anthropic's SDK adds `/v1` to the base URL, and OpenAI's does not."""
    assert "/v1 is there twice" in check(account.live.post("/v1/messages", json={}), 404, "not_found")["message"]


def test_a_trailing_slash_sends_nobody_elsewhere(account: Account) -> None:
    """A redirect would name the Host header's host, and have the body and its key sent again to it."""
    for path in ("/chat/completions/", "/jobs/", "/batches/"):
        check(account.live.post(path, json=chat(), headers={"Host": "elsewhere.example"}), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/jobs?limit=0", "limit"),
        ("/jobs?limit=101", "limit"),
        ("/jobs?limit=-1", "limit"),
        ("/jobs?limit=ten", "limit"),
        ("/jobs?limit=1.5", "limit"),
        ("/jobs?limit=%D9%A1", "limit"),
        ("/jobs?limit=" + "9" * 5000, "limit"),
        ("/jobs?order=up", "order"),
        ("/jobs?status=done", "status"),
        ("/jobs?status=", "status"),
        ("/jobs?before=job_1", "before"),
        ("/jobs?after=" + "a" * 101, "after"),
        ("/jobs?ids=" + ",".join(map(str, range(101))), "ids"),
        ("/events?after=evt_none", "after"),
        ("/credits/transfers?limit=x", "limit"),
        ("/webhooks?limit=1000", "limit"),
        ("/jobs/job_1?wait=soon", "wait"),
        ("/jobs/job_1?wait=-1", "wait"),
        ("/jobs/job_1?wait=nan", "wait"),
        ("/jobs/job_1?wait=inf", "wait"),
    ],
)
def test_a_bad_query_parameter_is_named(account: Account, path: str, param: str) -> None:
    check(account.live.get(path), 400, "invalid_request", param)


@pytest.mark.parametrize("path", ["/jobs?after=%00", "/events?after=%00", "/jobs?status=%00", "/jobs?ids=a%00"])
def test_a_nul_in_a_query_is_a_400(account: Account, path: str) -> None:
    check(account.live.get(path), 400, "invalid_request")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "a"])
def test_another_content_type_is_415(account: Account, kind: str) -> None:
    check(account.live.post("/jobs", content=b"{}", headers={"content-type": kind}), 415, "unsupported_media_type")


def test_a_compressed_body_is_415_and_says_why(account: Account) -> None:
    for path in ("/jobs", "/chat/completions"):
        answer = account.live.post(path, content=gzip.compress(b"{}"), headers={"content-encoding": "gzip"})
        check(answer, 415, "unsupported_media_type")
        assert "Content-Encoding" in answer.json()["error"]["message"]
    body = httpx.Request("POST", "http://x", json=embedding()).content
    assert account.test.post("/jobs", content=body, headers={"content-encoding": "Identity"}).status_code == 202


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.api+json"])
def test_json_by_other_names_is_taken(account: Account, kind: str) -> None:
    body = httpx.Request("POST", "http://x", json=embedding()).content
    assert account.test.post("/jobs", content=body, headers={"content-type": kind}).status_code == 202


def test_a_body_over_50_mb_is_413_with_and_without_a_length(account: Account) -> None:
    big = b'{"a": "' + b"x" * (50 * 1024 * 1024) + b'"}'
    headers = {"content-type": "application/json"}

    def chunks() -> Any:
        for at in range(0, len(big), 1 << 20):
            yield big[at : at + (1 << 20)]

    for content in (big, chunks()):
        try:
            answer = account.live.post("/jobs", content=content, headers=headers)
        except httpx.WriteError:
            continue  # refused before all of it was sent, and the connection closed behind the answer
        check(answer, 413, "payload_too_large")


def test_health_and_readiness_need_no_key(stack: Stack) -> None:
    for path in ("/healthz", "/readyz"):
        answer = httpx.get(stack.url + path)
        assert answer.status_code == 200 and answer.json()["status"] == "ok"


def test_models_have_provider_purpose_and_price(account: Account) -> None:
    listed = account.live.get("/models").json()
    by_id = {model["id"]: model for model in listed["data"]}
    assert {"claude-3-opus", "gpt-4", "gemini-pro", "text-embedding-3-large", "image-gen-2"} <= set(by_id)
    assert listed["object"] == "list" and listed["has_more"] is False
    assert [listed["first_id"], listed["last_id"]] == [listed["data"][n]["id"] for n in (0, -1)]
    for id, model in by_id.items():
        assert account.live.get(f"/models/{id}").json() == model
        assert model["object"] == "model" and model["provider"] and model["purpose"] and model["price"]
    assert by_id["claude-3-opus"]["provider"] == "anthropic"
    assert account.live.get("/models/anthropic.claude-3-opus").json() == by_id["claude-3-opus"], "as requests name it"
    assert account.live.get("/models/openai.claude-3-opus").status_code == 404


def test_request_ids_are_distinct(account: Account) -> None:
    assert len({account.live.get("/credits").headers["x-request-id"] for _ in range(20)}) == 20
