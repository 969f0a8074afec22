"""What the console's pages say of jobs that failed, files with bad lines, lists that are narrowed, and models."""

import re
from collections.abc import Iterator
from html import unescape

import pytest

from tests.acceptance.stack import Account, Stack, chat, own_stack
from tests.acceptance.test_console import PASSWORD, Browser, closed

__all__ = ["closed"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose console is on."""
    with own_stack(tmp_path_factory.mktemp("words"), CONSOLE="true", OPERATOR_PASSWORD=PASSWORD) as running:
        yield running


@pytest.fixture
def browser(stack: Stack, account: Account) -> Browser:
    """One that is signed in with the account's live key, at its overview."""
    made = Browser(stack.url)
    assert made.sign_in(key=account.live_key).status_code == 303
    assert made.get("/console").status_code == 200
    return made


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
