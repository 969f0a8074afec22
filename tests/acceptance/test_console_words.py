"""What the console's pages say of jobs that failed, files with bad lines, lists that are narrowed, and models."""

import re
from html import unescape

from producer.console.formats import gist
from tests.acceptance.command import Command
from tests.acceptance.stack import Account, Stack, chat
from tests.acceptance.test_console import PASSWORD, Browser, browser, closed
from tests.conditions import await_condition

__all__ = ["browser", "closed"]


def words(browser: Browser, path: str, **query: str) -> str:
    """The text of a page, as it is read."""
    page = browser.get(path, params=query).text
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_a_failed_job_says_that_its_call_failed(account: Account, browser: Browser) -> None:
    with account.stack.script({"contains": "refuse this", "fault": {"status": 400, "message": "no"}}):
        job = account.run(chat("refuse this"))
    text = words(browser, f"/console/jobs/{job['id']}")
    assert "No call succeeded: nothing is charged." in text and "No provider" not in text
    assert "given up" not in text


LINES = b"""{"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "nope", "input": "x"}}
{"custom_id": "b", "method": "POST", "url": "/v1/embeddings", "body": {"model": "text-embedding-3-large", "input": "x"}}
not json
"""


def test_bad_lines_of_a_file_are_counted_and_placed(account: Account, browser: Browser) -> None:
    browser.get("/console/new?type=batch")
    form = {"csrf": browser.csrf(), "once": "1"}
    sent = browser.http.post("/console/new/file", data=form, files={"file": ("bad.jsonl", LINES)})
    text = words(browser, sent.headers["location"])
    assert "2 errors were found in 2 lines; 1 other line that was read is valid." in text
    assert "the whole line" in text and "at column 1" in text and "at line 1" not in text
    assert '<a href="/console/models">Models</a>' in browser.page and "unknown model 'nope' (see Models )" in text


def test_a_batch_whose_lines_name_their_endpoints_shows_their_answers(account: Account, browser: Browser) -> None:
    body = {name: value for name, value in chat("say hello").items() if name != "type"}
    vector = {"model": "text-embedding-3-large", "input": "x"}
    lines = [
        {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body},
        {"custom_id": "b", "method": "POST", "url": "/v1/embeddings", "body": vector},
    ]
    made = account.live.post("/batches", json={"requests": lines}).json()
    path = f"/batches/{made['id']}"
    await_condition(lambda: account.live.get(path).json()["status"] == "completed", what="the batch")
    (job,) = account.live.get("/jobs", params={"batch_id": made["id"], "type": "chat.completion"}).json()["data"]
    text = words(browser, f"/console{path}")
    assert made["endpoint"] is None and gist(job) and gist(job) in text and " vectors " in text
    assert "Took 0 s" not in text


def test_a_batch_that_was_refused_says_that_no_line_was_run(account: Account, browser: Browser) -> None:
    file = account.live.post("/files", data={"purpose": "batch"}, files={"file": ("bad.jsonl", LINES)}).json()["id"]
    made = account.live.post("/batches", json={"input_file_id": file, "completion_window": "24h"}).json()
    path = f"/batches/{made['id']}"
    await_condition(lambda: account.live.get(path).json()["status"] == "failed", what="that it is refused")
    text = words(browser, f"/console{path}")
    assert "None was run: its file was refused." in text and "has been read" not in text
    assert 'aria-label="Lines by status"' not in browser.page
    shown = Command(account.stack, account)("batch", made["id"]).output
    assert "refused" in shown and "lines " not in shown and "succeeded" not in shown


def test_batches_are_found_by_their_metadata(account: Account, browser: Browser) -> None:
    line = {"custom_id": "a", "body": {"model": "text-embedding-3-large", "input": "x"}}
    made = {}
    for run in ("nightly", "by hand"):
        body = {"endpoint": "/v1/embeddings", "requests": [line], "metadata": {"run": run, "of": "all"}}
        made[run] = account.live.post("/batches", json=body).json()["id"]
    for asked, found in (("run=nightly", ["nightly"]), ("of=all", ["by hand", "nightly"]), ("run=never", [])):
        name, _, value = asked.partition("=")
        page = account.live.get("/batches", params={f"metadata.{name}": value}).json()
        assert [one["id"] for one in page["data"]] == [made[run] for run in found] and not page["has_more"]
        shown = browser.get("/console/batches", params={"metadata": asked}).text
        assert [run for run, id in made.items() if f"/console/batches/{id}" in shown] == sorted(found, reverse=True)
    assert "No batches with the metadata run=never" in words(browser, "/console/batches", metadata="run=never")
    assert browser.get("/console/batches", params={"metadata": "nightly"}).status_code == 400
    assert browser.page.count("write it as name=value") == 1, "said once, at the field"


def test_events_are_narrowed_to_a_type_and_lead_to_what_they_are_about(account: Account, browser: Browser) -> None:
    account.live.post("/webhooks", json={"url": "http://127.0.0.1:9/x"})
    job = account.run(chat("an event"))
    with account.stack.script({"contains": "fails", "fault": {"status": 400, "message": "no"}}):
        failed = account.run(chat("this fails"))
    page = account.live.get("/events", params={"type": "job.failed"}).json()
    assert [one["data"]["job"]["id"] for one in page["data"]] == [failed["id"]] and not page["has_more"]
    assert account.live.get("/events", params={"type": "nonsense"}).status_code == 400
    shown = browser.get("/console/events", params={"type": "job.failed"}).text
    assert f'href="/console/jobs/{failed["id"]}"' in shown and job["id"] not in shown
    assert "No events of the type batch.expired" in words(browser, "/console/events", type="batch.expired")


def test_jobs_are_filtered_by_keys_and_models_to_choose_from(account: Account, browser: Browser) -> None:
    job = account.run(chat("of this key"))
    key_id = account.live.get(f"/jobs/{job['id']}/input").json()["key_id"]
    page = browser.get("/console/jobs").text
    assert f'<option value="{key_id}"' in page and '<datalist id="o-model"><option value="' in page
    assert job["id"] in browser.get("/console/jobs", params={"key_id": key_id}).text
    text = words(browser, "/console/jobs", key_id=key_id, model="nothing")
    assert f"Filtered by model nothing, key {key_id}." in text


def test_a_job_of_a_paused_provider_says_so(account: Account, browser: Browser, stack: Stack) -> None:
    operator = Browser(stack.url)
    operator.sign_in(password=PASSWORD, name="ada")
    operator.get("/console/queues")
    operator.post("/console/queues/pause", provider="openai", reason="maintenance there")
    try:
        job = account.submit(chat("waits", model="gpt-4"))["id"]
        page = f"/console/jobs/{job}"
        await_condition(lambda: "provider is paused by the operator" in words(browser, page), what="the word of it")
        queues = words(operator, "/console/queues")
        assert "Reason: maintenance there" in queues and "oldest since" not in queues
    finally:
        operator.get("/console/queues")
        operator.post("/console/queues/openai/resume")
    assert account.finished(job)["status"] == "succeeded"
    call = {"model": "gpt-4", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
    # Who waits for an answer is refused for a second longer, and so would be who comes after this test.
    await_condition(
        lambda: account.live.post("/chat/completions", json=call).is_success, what="calls to be taken again"
    )
    assert "paused by the operator" not in words(browser, page)
    assert "sold as gpt-4" in words(operator, "/console/queues")


def test_models_are_searched_and_thresholds_that_are_crossed_are_named(browser: Browser) -> None:
    text = words(browser, "/console/models", q="EMBEDDING-3-large")
    assert "text-embedding-3-large" in text and "gpt-4" not in text
    assert "No model has “nothing at all” in its name" in words(browser, "/console/models", q="nothing at all")
    browser.get("/console/credits")
    browser.post("/console/credits/thresholds", kind="remaining", level="100000000")
    assert "Remaining 100,000,000.00 is crossed already" in words(browser, "/console/credits")


def test_an_amount_that_is_refused_is_named_once_in_the_forms_words(browser: Browser) -> None:
    browser.get("/console/credits")
    refused = browser.post("/console/credits/top-up", enabled="on", threshold="1", amount="none", monthly_limit="5")
    text = unescape(refused.text)
    assert refused.status_code == 400 and 'id="e-amount"' in text and "notice-bad" not in text
    assert "“Buy”" in text


def test_the_audit_log_is_narrowed_to_actions_and_leads_to_accounts(account: Account, stack: Stack) -> None:
    operator = Browser(stack.url)
    operator.sign_in(password=PASSWORD, name="ada")
    operator.get("/console/account")
    operator.post("/console/account", account_id=account.id)
    shown = operator.get("/console/accounts", params={"action": "console.look_at"}).text
    assert "console.look_at" in shown and ">console.sign_in" not in shown
    assert shown.count(f'href="/console/accounts/{account.id}" title') == 2, "under its action, and as what it is about"
    assert "No entry of nothing" in words(operator, "/console/accounts", action="nothing")
