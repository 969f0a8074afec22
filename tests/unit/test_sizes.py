"""Limits and lists that are written once, and texts that name them."""

import re
from pathlib import Path

import pytest

from producer.dialects import DIALECTS
from producer.dialects.fusionai import jobs
from producer.operations import batches
from shared.dialects import BY_URL, LINE_FORMATS
from shared.errors import InvalidRequest
from shared.submissions import sizes
from shared.submissions.job_types import ENDPOINTS, JOB_TYPES, URLS
from shared.submissions.schemas import REQUESTS

ROOT = Path(__file__).parents[2]


def test_every_type_has_a_request_and_a_url() -> None:
    assert tuple(REQUESTS) == tuple(URLS) == JOB_TYPES
    assert {ENDPOINTS[url] for url in URLS.values()} == set(JOB_TYPES)


def test_every_form_of_lines_is_a_dialects_and_has_its_url() -> None:
    assert {one.lines for one in DIALECTS if one.lines} == set(LINE_FORMATS.values()) == set(BY_URL.values())
    assert all(one.lines is None or one.lines.dialect == one.name for one in DIALECTS)
    assert set(ENDPOINTS) == {*URLS.values(), "/v1/images", *BY_URL}


def test_texts_that_cannot_be_derived_name_the_limits_that_hold() -> None:
    assert f"up to {sizes.MOST_JOBS:,} jobs" in (jobs.create_jobs.__doc__ or "")


def test_a_completion_window_is_any_whole_number_of_hours_that_a_batch_may_be_given() -> None:
    fitting = [hours for hours in range(1000) if batches.WINDOW.fullmatch(f"{hours}h")]
    assert fitting == list(range(sizes.SHORTEST_HOURS, sizes.LONGEST_HOURS + 1))
    assert [batches.hours_of(text) for text in ("1h", "024h", "168h")] == [1, 24, 168]
    for wrong in ("", "h", "24", "+1h", "24H", "24h\n", "0001h", "٣h"):
        with pytest.raises(InvalidRequest, match="from 1h to 168h"):
            batches.hours_of(wrong)


def test_no_limit_or_list_is_written_again() -> None:
    numbers = re.compile(r"= (50_?000|50 \* 1024 \* 1024|200 \* 1024 \* 1024)$", re.M)
    lists = re.compile(r'"/v1/embeddings": "embedding"|Literal\["chat\.completion", |Literal\["realtime", "batch"\]')
    once = {"submissions/sizes.py": 0, "submissions/job_types.py": 0, "shared/queues.py": 0}
    for package in ("producer", "workers", "shared"):
        for path in (ROOT / package).rglob("*.py"):
            # The SDK stands on nothing of the server: its objects are written from the API's types.
            if "/".join(path.parts[-2:]) in once or {"simulator", "demo", "fusionai"} & set(path.parts[-3:-1]):
                continue
            source = path.read_text()
            assert lists.search(source) is None, path
            # Of webhooks, of keys, of a chart: they only happen to be as many.
            others = {"MOST_WAITING", "REMEMBERED", "MOST_LOOKED_AT"}
            assert not [line for line in _lines(source, numbers) if not others & set(re.findall(r"\w+", line))], path


def _lines(source: str, pattern: "re.Pattern[str]") -> list[str]:
    return [source[source.rfind("\n", 0, found.start()) + 1 : found.end()] for found in pattern.finditer(source)]
