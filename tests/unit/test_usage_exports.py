"""Providers' exports of usage are read in each of their forms, and an error says where it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from producer.reconcile import exports
from producer.reconcile.exported import ExportError, ExportRow

#: 2026-11-29.
START = 1_795_910_400
OPENAI: dict[str, Any] = {
    "object": "page",
    "data": [
        {
            "object": "bucket",
            "start_time": START,
            "end_time": START + 86_400,
            "results": [
                {
                    "object": "organization.usage.completions.result",
                    "input_tokens": 1000,
                    "output_tokens": 500,
                    "input_cached_tokens": 800,
                    "input_cache_write_tokens": 100,
                    "num_model_requests": 5,
                    "model": "gpt-4o-2024-08-06",
                    "project_id": None,
                },
                {"object": "organization.usage.moderations.result", "input_tokens": 9, "num_model_requests": 1},
                {
                    "object": "organization.costs.result",
                    "amount": {"value": 0.06, "currency": "usd"},
                    "line_item": "gpt-4o-2024-08-06, cached input",
                },
            ],
        }
    ],
    "has_more": False,
}
ANTHROPIC: dict[str, Any] = {
    "data": [
        {
            "starting_at": "2026-11-29T00:00:00Z",
            "ending_at": "2026-11-30T00:00:00Z",
            "results": [
                {
                    "uncached_input_tokens": 1500,
                    "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
                    "cache_read_input_tokens": 200,
                    "output_tokens": 500,
                    "model": "claude-opus-4-6",
                    "service_tier": "standard",
                },
                {"currency": "USD", "amount": "123.78912", "model": None, "token_type": None},
            ],
        }
    ],
    "has_more": False,
}
CONSOLE = (
    "usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
    "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,"
    "usage_output_tokens,web_search_count,inference_geo,speed\n"
    "2026-11-29,claude-opus-4-6,App,Default,standard,≤ 200k,46981,15969,7,3,16932,0,global,\n"
)
DASHBOARD = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,model,input_tokens,output_tokens,"
    "input_cached_tokens\n"
    f"{START},{START + 60},2026-11-29T00:00:00+00:00,2026-11-29T00:01:00+00:00,proj_1,3.0,gpt-4o,7162,40,1280\n"
)


def written(directory: Path, content: str, name: str = "usage") -> Path:
    path = directory / name
    path.write_text(content, encoding="utf-8")
    return path


def read(directory: Path, content: str, provider: str | None = None) -> list[ExportRow]:
    return list(exports.rows(written(directory, content), provider))


def test_openai_s_pages(tmp_path: Path) -> None:
    usage, cost = read(tmp_path, json.dumps(OPENAI, indent=1))
    assert (usage.day, usage.model, usage.provider) == ("2026-11-29", "gpt-4o-2024-08-06", "openai")
    assert usage.counts == {"calls": 5, "input": 100, "cached": 800, "write_5m": 100, "output": 500}
    assert (cost.model, cost.cost_nanos, cost.counts) == ("gpt-4o-2024-08-06", 6_000_000_000, {})


def test_anthropic_s_pages(tmp_path: Path) -> None:
    usage, cost = read(tmp_path, json.dumps(ANTHROPIC))
    assert usage.counts == {"input": 1500, "cached": 200, "write_5m": 500, "write_1h": 1000, "output": 500}
    assert (usage.day, usage.provider, cost.model, cost.cost_nanos) == ("2026-11-29", "anthropic", "", 123_789_120_000)


def test_pages_in_a_list_and_a_page_a_line_of_a_provider_that_is_named(tmp_path: Path) -> None:
    one = read(tmp_path, json.dumps(OPENAI))
    for content in (json.dumps([OPENAI, OPENAI]), f"\ufeff{json.dumps(OPENAI)}\r\n\n{json.dumps(OPENAI)}\n"):
        found = read(tmp_path, content, "azure")
        assert [(row.counts, row.provider) for row in found] == [(row.counts, "azure") for row in one * 2]


def test_anthropic_s_console(tmp_path: Path) -> None:
    (row,) = read(tmp_path, CONSOLE)
    assert row.counts == {"input": 46981, "cached": 3, "write_5m": 15969, "write_1h": 7, "output": 16932}
    assert (row.day, row.model, row.provider, row.cost_nanos) == ("2026-11-29", "claude-opus-4-6", None, None)


def test_openai_s_dashboard(tmp_path: Path) -> None:
    (row,) = read(tmp_path, DASHBOARD)
    assert row.counts == {"calls": 3, "input": 5882, "cached": 1280, "output": 40} and row.day == "2026-11-29"


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_any_table_with_a_header(tmp_path: Path, ends: str) -> None:
    lines = [
        "\ufeffRequest_ID,created_at,provider,model,prompt_tokens,cached_tokens,completion_tokens,cost_usd",
        'req_1,2026-11-29T23:30:00-05:00,OpenAI,"gpt-4o",10,4,"1,000",$0.00002',
        "",
        "req_2,2026-11-29,anthropic,claude-opus-4-6,1,,1,",
    ]
    one, other = read(tmp_path, ends.join(lines))
    assert (one.request_id, one.day, one.provider) == ("req_1", "2026-11-30", "openai")
    assert one.counts == {"calls": 1, "input": 6, "cached": 4, "output": 1000} and one.cost_nanos == 2_000_000
    assert (other.counts["cached"], other.cost_nanos) == (0, 0)
    assert [row.request_id for row in read(tmp_path, ends.join(lines), "anthropic")] == ["req_2"]


def test_pictures_are_counted_and_not_their_tokens(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "request_id,day,model,input_tokens,output_tokens,images\nr,2026-11-29,gpt-image-2,9,99,2\n")
    assert row.counts == {"calls": 1, "images": 2}


BAD = {
    "nothing": ("", "usage: is empty"),
    "no report": ('{"error": {"message": "no"}}', "usage: line 1: is no report of OpenAI's or Anthropic's"),
    "no JSON": ('{"data": [', "usage: is no JSON"),
    "no results": ('{"data": [{"start_time": 1}]}', "usage: line 1: data[0]: `results` is missing"),
    "another report": (
        '{"data": [{"start_time": 1, "results": [{"object": "organization.projects"}]}]}',
        "usage: line 1: data[0].results[0].object: 'projects' is no kind",
    ),
    "a broken count": (
        json.dumps(ANTHROPIC).replace("1500", '"many"'),
        "usage: line 1: data[0].results[0].uncached_input_tokens: 'many' is no count",
    ),
    "another currency": (
        json.dumps(ANTHROPIC).replace("USD", "EUR"),
        "usage: line 1: data[0].results[1].currency: 'EUR'",
    ),
    "a broken line": (json.dumps(OPENAI) + '\n{"data": 3}\n', "usage: line 2: is no report"),
    "no model": ("a,b\n1,2\n", "usage: line 1: the header has no time, or no model: a, b"),
    "too few cells": ("day,model,output_tokens\n2026-11-29,m\n", "usage: line 2: has 2 cells, the header 3"),
    "no count": ("day,model,output_tokens\n2026-11-29,m,1\n2026-11-29,m,1.5\n", "usage: line 3: output_tokens: '1.5'"),
    "less than nothing": ("day,model,output_tokens\n2026-11-29,m,-1\n", "usage: line 2: output_tokens: '-1'"),
    "no time": ("day,model,output_tokens\nyesterday,m,1\n", "usage: line 2: day: 'yesterday' is no time"),
    "no amount": ("day,model,cost\n2026-11-29,m,cheap\n", "usage: line 2: cost: 'cheap' is no amount"),
    "an open quote": ('day,model,output_tokens\n2026-11-29,"m,1\n', "usage: line 2: is no CSV"),
    "a count of a million digits": (
        "day,model,output_tokens\n2026-11-29,m,1e999999\n",
        "usage: line 2: output_tokens: '1e9",
    ),
    "a count that is no count any more": ("day,model,calls\n2026-11-29,m,9e18\n", "usage: line 2: calls: '9e18' is no"),
    "no count but a word": ("day,model,calls\n2026-11-29,m,NaN\n", "usage: line 2: calls: 'NaN' is no count"),
    "an amount of a million digits": (
        "day,model,cost\n2026-11-29,m,-1e999999\n",
        "usage: line 2: cost: '-1e999999' is no",
    ),
    "a time before all time": ("day,model,calls\n0001-01-01T00:00:00+14:00,m,1\n", "usage: line 2: day: '0001-01-01T"),
    "a time after all time": ("day,model,calls\n9999-12-31T23:59:59-14:00,m,1\n", "usage: line 2: day: '9999-12-31T"),
    "an amount that is a text": (
        json.dumps(OPENAI).replace('{"value": 0.06, "currency": "usd"}', '"0.06"'),
        "usage: line 1: data[0].results[2].amount: is no object",
    ),
    "cache writes as a list": (
        json.dumps(ANTHROPIC).replace('{"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500}', "[1]"),
        "usage: line 1: data[0].results[0].cache_creation: is no object",
    ),
    "more cached than all": ("day,model,prompt_tokens,cached_tokens\n2026-11-29,m,1,2\n", "usage: line 2: has more"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_error_says_where_it_is(tmp_path: Path, name: str) -> None:
    content, said = BAD[name]
    with pytest.raises(ExportError) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(said), str(caught.value)


def test_another_encoding_is_one_clear_fault(tmp_path: Path) -> None:
    path = tmp_path / "usage"
    for content in (b"day,model\n2026-11-29,\xe9\n", b"day,model\n" + b"2026-11-29,m\n" * 900 + b"2026-11-29,\xe9\n"):
        path.write_bytes(content)
        with pytest.raises(ExportError, match="is not UTF-8"):
            list(exports.rows(path))
