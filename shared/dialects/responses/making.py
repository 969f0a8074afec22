"""Makes the response object from the rows of its job."""

from collections.abc import Mapping
from typing import Any, Final, cast

import orjson

from shared.answers import thinking
from shared.clock import seconds
from shared.dialects.responses import items
from shared.dialects.responses.objects import (
    Incomplete,
    ItemStatus,
    OutputItem,
    Response,
    ResponseError,
    ResponseUsage,
    Status,
)
from shared.objects.amounts import credits
from shared.submissions import answer_options, extras, preface, usage_shown

#: Columns of a job's result that a response is made of.
RESULT: Final = (
    "response error partial model service_tier prompt_tokens completion_tokens cached_tokens cache_creation_tokens "
    "cache_creation_1h_tokens reasoning_tokens charged_micros estimated"
).split()
_STATUS: Final[Mapping[str, Status]] = {
    "queued": "queued",
    "running": "in_progress",
    "succeeded": "completed",
    "failed": "failed",
    "expired": "failed",
    "cancelled": "cancelled",
}
_INCOMPLETE: Final[Mapping[str | None, Incomplete]] = {
    "length": {"reason": "max_output_tokens"},
    "content_filter": {"reason": "content_filter"},
}


def kept(request: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A stored request, and what is kept beside it of the response that it was sent as: see `extras.RESPONSE`."""
    body: dict[str, Any] = orjson.loads(request)
    return body, (body.get(extras.KEY) or {}).get(extras.RESPONSE) or {}


def asked(row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same of a job's row, without the preface that stands before the messages of the caller."""
    request, echo = kept(row["request"])
    has_preface = row.get("linked_context") or answer_options.language(row.get("answer_options"))
    return preface.without(request) if has_preface else request, echo


def response(row: Mapping[str, Any]) -> Response:
    """The response as its job stands."""
    request, echo = asked(row)
    core = row["id"].removeprefix("job_")
    status = _STATUS[row["status"]]
    output, incomplete = _output(row, core, summary=bool(echo.get("summary")), seals=seals(echo))
    if status == "completed" and incomplete:
        status = "incomplete"
    return {
        "id": f"resp_{core}",
        "object": "response",
        "created_at": cast(int, seconds(row["created_at"])),
        "completed_at": seconds(row["finished_at"]) if status == "completed" else None,
        "status": status,
        "background": bool(echo.get("background")),
        "error": _error(row) if status == "failed" else None,
        "incomplete_details": incomplete if status == "incomplete" else None,
        "instructions": request["messages"][0]["content"] if echo.get("instructions") else None,
        "max_output_tokens": request.get("max_tokens"),
        "model": row["model"] or row["asked_model"],
        "output": output,
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "previous_response_id": echo.get("previous_response_id"),
        "prompt_cache_key": request.get("prompt_cache_key"),
        "reasoning": {"effort": request.get("reasoning_effort"), "summary": echo.get("summary")},
        "safety_identifier": request.get("safety_identifier"),
        "service_tier": row["service_tier"] or request.get("service_tier") or "default",
        "store": echo.get("store") is not False,
        "temperature": request.get("temperature"),
        "text": _text(request),
        "tool_choice": _choice(request.get("tool_choice", "auto")),
        "top_logprobs": request.get("top_logprobs") or 0,
        "tools": [_tool(tool["function"]) for tool in request.get("tools", ())],
        "top_p": request.get("top_p"),
        "truncation": "auto" if echo.get("truncation") == "auto" else "disabled",
        "usage": None if row["charged_micros"] is None else _usage(row),
        "user": request.get("user"),
        "metadata": orjson.loads(row["labels"]) if row["labels"] else {},
    }


def sent_back(row: Mapping[str, Any]) -> list[OutputItem]:
    """The items of a response's output as they go back to their provider: with what it had signed."""
    _, echo = asked(row)
    return _output(row, row["id"].removeprefix("job_"), summary=bool(echo.get("summary")), seals=True)[0]


def begun(row: Mapping[str, Any]) -> Response:
    """The same before any of its answer: the first events of its stream show this, whenever it is read."""
    unanswered = dict.fromkeys(RESULT) | {"status": "running", "finished_at": None}
    return response({**row, **unanswered})


def seals(echo: Mapping[str, Any]) -> bool:
    """Whether the `encrypted_content` of reasoning was asked for, of what is kept beside the request."""
    return bool(echo.get("encrypted"))


def _output(
    row: Mapping[str, Any], core: str, *, summary: bool, seals: bool
) -> tuple[list[OutputItem], Incomplete | None]:
    """What was answered, also of a job that ended before it was whole; and why it is not whole, if so."""
    body = row["response"] or row["partial"]
    if body and answer_options.wants_thinking(row.get("answer_options")):
        body = thinking.dressed(body)
    choice = (orjson.loads(body).get("choices") or [None])[0] if body else None
    if choice is None:
        return [], None
    incomplete = _INCOMPLETE.get(choice["finish_reason"])
    cut = incomplete or not row["response"]
    likely = (choice.get("logprobs") or {}).get("content") or ()
    status: ItemStatus = "incomplete" if cut else "completed"
    return items.output(choice["message"], core, status=status, summary=summary, likely=likely, seals=seals), incomplete


def _error(row: Mapping[str, Any]) -> ResponseError:
    error = orjson.loads(row["error"]) if row["error"] else {}
    if error.get("code") == 400:
        return {"code": "invalid_prompt", "message": error["message"]}
    limited = "rate_limit" in str(error.get("reason"))
    message = error.get("message") or "the job expired before it finished"
    return {"code": "rate_limit_exceeded" if limited else "server_error", "message": message}


def _usage(row: Mapping[str, Any]) -> ResponseUsage:
    used = usage_shown.of_row(row)
    shown: ResponseUsage = {
        "input_tokens": used.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": used.cached_tokens or 0,
            "cache_write_tokens": used.cache_creation_tokens or 0,
        },
        "output_tokens": used.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": used.reasoning_tokens or 0},
        "total_tokens": used.prompt_tokens + used.completion_tokens,
        "credits_used": credits(row["charged_micros"]),
    }
    if row["test"]:
        shown["test"] = True
    if row["estimated"]:
        shown["estimated"] = True
    return shown


def _text(request: Mapping[str, Any]) -> dict[str, Any]:
    asked = request.get("response_format") or {"type": "text"}
    format = {"type": asked["type"], **(asked.get("json_schema") or {})}
    verbosity = request.get("verbosity")
    return {"format": format} | ({"verbosity": verbosity} if verbosity else {})


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: function.get(name) for name in ("name", "description", "parameters", "strict")}
    return {"type": "function", **shown}


def _choice(choice: Any) -> Any:
    return {"type": "function", "name": choice["function"]["name"]} if isinstance(choice, dict) else choice
