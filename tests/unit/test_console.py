"""The console's parts that need no server: tokens of forms, its files, calls as commands, timelines, what is shown."""

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from producer.console import assets, auditing, code_samples, exchange, forgery, timeline, usage_groups
from producer.console.api import ApiError, Call
from producer.console.pages import BUILT, credits, jobs
from producer.console.rendering import environment

_HERE = {"example.com:8000"}


def test_a_forms_token_is_the_sessions_alone() -> None:
    one, other = forgery.token("session"), forgery.token("session")
    assert one != other, "a mask of its own in each page"
    assert forgery.holds(one, "session") and forgery.holds(other, "session")
    assert not forgery.holds(one, "another session")
    for wrong in ("", "a", "ü", one[:-4], one + "AAAA", "A" * len(one)):
        assert not forgery.holds(wrong, "session"), wrong


@pytest.mark.parametrize(
    ("headers", "here"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://example.com:8000"}, True),
        ({"origin": "http://EXAMPLE.com:8000", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "null", "sec-fetch-site": "same-origin"}, True),
        ({}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://example.com:8001"}, False),
        ({"origin": "http://example.com:8000.evil.example"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "http://example.com:8000", "sec-fetch-site": "cross-site"}, False),
        ({"origin": "http://evil.example", "sec-fetch-site": "same-origin"}, False),
    ],
)
def test_a_post_is_from_here_if_the_browser_says_so(headers: dict[str, str], here: bool) -> None:
    assert forgery.is_from_here(headers, _HERE) is here


def test_files_of_others_are_as_they_were_published() -> None:
    folder = Path(assets.__file__).parent
    for one in assets.VENDORED:
        assert hashlib.sha256((folder / one.name).read_bytes()).hexdigest() == one.sha256, one.name
        assert (folder / one.licence).read_text(encoding="utf-8").strip(), one.licence
        readme = (folder / "README.md").read_text(encoding="utf-8")
        assert one.sha256 in readme and f"{one.package} {one.version}" in readme
    own = {"console.css", "console.js", "icon.svg", "README.md", "__init__.py"}
    others = {one.name for one in assets.VENDORED} | {one.licence for one in assets.VENDORED}
    assert {path.name for path in folder.iterdir() if path.is_file()} == own | others


def test_a_file_is_found_by_its_hash_alone() -> None:
    _, _, _, digest, name = assets.url("console.css").split("/")
    content, media_type = assets.load(digest, name) or (b"", "")
    assert content and media_type == "text/css"
    assert assets.load("0" * 16, name) is None
    assert assets.load(digest, "../__init__.py") is None


def test_templates_have_no_script_or_style_of_their_own_and_mark_nothing_as_safe() -> None:
    for name in environment().list_templates():
        environment().get_template(name)
        text = (Path(auditing.__file__).parent / "templates" / name).read_text(encoding="utf-8")
        for forbidden in ("|safe", "| safe", "style=", "<style", "javascript:", "onclick", "onload", "autoescape"):
            assert forbidden not in text, (name, forbidden)
        assert text.count("<script") == text.count("<script src="), name
        posts, tokens = text.count('method="post"'), text.count("csrf")
        assert name in ("sign_in.html",) or tokens >= posts, name


def test_every_page_has_routes_under_its_path() -> None:
    for page, router in BUILT:
        assert any(route.method == "GET" and route.path == page.path for route in router.routes), page
        assert all(route.path == "/console" or route.path.startswith(page.path) for route in router.routes), page


def test_a_call_as_curl_is_the_same_call() -> None:
    call = Call("POST", "/v1/jobs", {"a b": "c&d"}, {"text": "it's <b>\n$HOME `x`"}, {"Idempotency-Key": "o'1"})
    words = shlex.split(call.as_curl("https://api.example"))
    assert words[:4] == ["curl", "-X", "POST", "https://api.example/v1/jobs?a+b=c%26d"]
    assert json.loads(words[words.index("-d") + 1]) == {"text": "it's <b>\n$HOME `x`"}
    assert "Idempotency-Key: o'1" in words and "Authorization: Bearer $FUSIONAI_API_KEY" in words


def test_a_program_for_the_sdk_is_the_same_request() -> None:
    body = {
        "model": "gpt-4",
        "messages": [{"role": "user", "content": 'it\'s "quoted"\n'}],
        "routing": {"fallbacks": []},
    }
    program = code_samples.python("chat.completion", body, "https://api.example")
    seen: dict[str, Any] = {}

    class Client:
        def __init__(self, **given: Any) -> None:
            seen.update(given)
            self.chat = self.completions = self

        def create(self, **given: Any) -> None:
            seen["sent"] = {**{k: v for k, v in given.items() if k != "extra_body"}, **given.get("extra_body", {})}

    program = program.replace("from openai import OpenAI", "").replace("os.environ[", "dict(FUSIONAI_API_KEY='k')[")
    exec(program, {"OpenAI": Client})
    assert seen["sent"] == body and seen["base_url"] == "https://api.example/v1"


def _job(status: str = "succeeded", *attempts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    times = {"created_at": 100, "started_at": 102, "finished_at": 110}
    return {"status": status, "model": "gpt-4", "attempts": list(attempts), **times, **changes}


def _attempt(begin: int, end: int | None, status: int = 200, **changes: Any) -> dict[str, Any]:
    error = None if status == 200 else "server_error"
    own = {"provider": "openai", "model": "gpt-4", "status_code": status, "error": error}
    return {"started_at": begin, "finished_at": end, **own, **changes}


def test_a_timeline_has_the_waits_the_calls_and_the_pauses() -> None:
    other = {"provider": "anthropic", "model": "claude"}
    job = _job("succeeded", _attempt(102, 103, 503), _attempt(105, 106, 503), _attempt(107, 110, **other))
    found = [(line.kind, line.begin, line.end) for line in timeline.spans(job, 200)]
    assert found == [
        ("wait", 0, 2),
        ("failed", 2, 3),
        ("pause", 3, 5),
        ("failed", 5, 6),
        ("pause", 6, 7),
        ("call", 7, 10),
    ]
    assert "Fallback" in [line.name for line in timeline.spans(job, 200)]


def test_a_failure_that_is_not_repeated_waits_for_nothing() -> None:
    failed = timeline.spans(_job("failed", _attempt(102, 109, 400)), 200)
    assert [line.kind for line in failed] == ["wait", "failed"], "the second until it was written down is no wait"
    waited = timeline.spans(_job("failed", _attempt(102, 104, 503)), 200)
    assert waited[-1].name == "Waited until it was given up"


def test_a_timeline_goes_on_until_now() -> None:
    waits = timeline.spans(_job("queued", finished_at=None, started_at=None), 130)
    assert [(line.kind, line.seconds, line.open) for line in waits] == [("wait", 30, True)]
    runs = timeline.spans(_job("running", finished_at=None), 130)
    assert [(line.kind, line.begin, line.end) for line in runs] == [("wait", 0, 2), ("call", 2, 30)]
    cancelled = timeline.spans(_job("cancelled", started_at=None), 130)
    assert [(line.kind, line.seconds, line.open) for line in cancelled] == [("wait", 10, False)]
    for line in (*waits, *runs, *cancelled):
        begin, width = line.place(30)
        assert 0 <= begin <= begin + width <= 100.01


def test_a_picture_is_one_by_its_bytes() -> None:
    html = "data:image/png;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="
    assert exchange.decoded(html) is None
    assert exchange.decoded("data:text/html,<script>") is None
    png = "data:text/html;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    content, media_type = exchange.decoded(png) or (b"", "")
    assert content.startswith(b"\x89PNG") and media_type == "image/png"


def test_an_exchange_shows_what_was_said() -> None:
    body = {
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://evil.example/x.png"}}]},
            {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": '{"q":1}'}}]},
        ]
    }
    asked = exchange.asked("chat.completion", body)
    assert [part.kind for said in asked for part in said.parts] == ["link", "call"], "pictures elsewhere are not loaded"
    result = {"choices": [{"message": {"content": "hi", "reasoning_content": "hm"}, "finish_reason": "stop"}]}
    answered = exchange.answered("chat.completion", result, "/x/")
    assert [(part.kind, part.text) for part in answered[0].parts] == [("thoughts", "hm"), ("text", "hi")]
    vectors = exchange.answered("embedding", {"data": [{"embedding": [0.5] * 3000}]}, "/x/")
    assert vectors[0].parts[0].text.startswith("3,000 numbers: 0.5000")
    assert exchange.document("x" * 100_000).cut


def test_usage_is_summed_exactly() -> None:
    text = "day,model,jobs,prompt_tokens,completion_tokens,total_tokens,images,credits_used\r\n"
    text += "".join(f"2026-11-{day:02},m{day % 9},1,2,3,5,0,0.1{day:05}\r\n" for day in range(1, 28))
    text += "2026-11-28,'=1+1,1,0,0,0,1,0.000001\r\n"
    groups = usage_groups.read(text)
    whole = usage_groups.total(groups)
    assert whole.micros == 27 * 100_000 + sum(range(1, 28)) + 1
    lines = usage_groups.by_name(groups)
    assert (
        sum(line.micros for line in lines) == sum(line.micros for line in usage_groups.by_day(groups)) == whole.micros
    )
    assert "=1+1" in [line.name for line in lines]
    chart = usage_groups.chart(groups, lines, "2026-11-01", "2026-11-30", {})
    assert len(chart["x"]) == 30 and len(chart["lines"]) == usage_groups.MOST_SERIES + 1
    assert round(sum(sum(line["values"]) for line in chart["lines"]) * 1e6) == whole.micros


def _days(*remaining: float) -> list[dict[str, Any]]:
    return [
        {"date": f"2026-11-{day:02}", "remaining": left, "added": left, "spent": 0}
        for day, left in enumerate(remaining, 1)
    ]


def test_before_an_account_had_credits_its_chart_has_no_line() -> None:
    long, short = credits._since_first(_days(0, 0, 5, *[4] * 7)), credits._since_first(_days(*[0] * 9, 5))
    assert [day["remaining"] for day in long] == [5, *[4] * 7]
    assert credits._series(long)["lines"][0]["values"] == [5, *[4] * 7]
    assert credits._series(short)["lines"][0]["values"] == [*[None] * 6, 5]
    assert credits._series(_days(0, 0))["lines"][0]["values"] == [0, 0]


def test_filters_of_jobs_become_the_apis() -> None:
    asked = jobs.asked({"status": "failed", "metadata": "a=b=c", "from": "2026-11-29", "to": "2026-11-29"})
    assert asked == {
        "status": "failed",
        "metadata.a": "b=c",
        "created_after": "1795910400",
        "created_before": "1795996800",
    }
    for wrong in ({"metadata": "a"}, {"from": "yesterday"}, {"to": "9999-12-31"}):
        with pytest.raises(ApiError) as refused:
            jobs.asked(wrong)
        assert refused.value.param in wrong


@pytest.mark.parametrize(
    ("call", "name", "subject"),
    [
        (Call("POST", "/v1/jobs", body={}), "console.jobs.create", ("job", "")),
        (
            Call("PATCH", "/v1/webhooks/wh_0123456789abcdef"),
            "console.webhooks.update",
            ("webhook", "wh_0123456789abcdef"),
        ),
        (Call("POST", "/v1/batches", body={}), "console.batches.create", ("batch", "")),
        (Call("DELETE", "/v1/files/file-0123456789abcdef"), "console.files.delete", ("file", "file-0123456789abcdef")),
        (Call("PUT", "/v1/credits/thresholds"), "console.credits.thresholds.set", ("credit", "")),
    ],
)
def test_an_entry_of_the_audit_log_says_what_was_done(call: Call, name: str, subject: tuple[str, str]) -> None:
    assert auditing.described(call) == (name, *subject)
