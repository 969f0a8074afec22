"""What a chat may be asked of its answer beside what a provider is sent, such as its `language`. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, Field, WithJsonSchema

from shared.submissions.languages import NAMES
from shared.submissions.shapes import NullIsAbsent

#: Formats of an answer that programs read: thinking before it would make it no JSON any more.
_JSON_FORMATS: Final = frozenset({"json_object", "json_schema"})


def _known(code: str) -> str:
    if code not in NAMES:
        raise ValueError("must be an ISO 639-1 code: two lower-case letters such as nl or fr")
    return code


_Language = Annotated[
    str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": sorted(NAMES), "examples": ["nl"]})
]


class AnswerFields(NullIsAbsent):
    """The fields of a chat completion that they are."""

    include_thinking: bool | None = Field(
        default=None,
        description="Put the reasoning of the model before its answer, as `<thinking>…</thinking>`. Of no effect if "
        "the model gives none. With a JSON `response_format`, the answer stays JSON, and this is listed in `ignored`.",
    )
    language: _Language | None = Field(
        default=None,
        description="The language of the answer, as its ISO 639-1 code of two letters: `nl`, `fr`. The model is told "
        "so in a system message before the others, which counts as input.",
    )


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """The options of one job, kept with it."""

    include_thinking: bool = False
    #: Empty: none was named.
    language: str = ""


NO_OPTIONS: Final = AnswerOptions()


def take(fields: dict[str, Any]) -> AnswerOptions:
    """Take the options out of a chat's fields; ValidationError when one is wrong."""
    given = {name: fields.pop(name) for name in AnswerFields.model_fields if name in fields}
    return AnswerOptions(**AnswerFields.model_validate(given).model_dump(exclude_none=True)) if given else NO_OPTIONS


def applied(options: AnswerOptions, request: Mapping[str, Any], found: dict[str, Any]) -> AnswerOptions:
    """Those that a request allows; `found` gets the names of the others."""
    if options.include_thinking and (request.get("response_format") or {}).get("type") in _JSON_FORMATS:
        found["include_thinking"] = None
        return replace(options, include_thinking=False)
    return options


def as_json(options: AnswerOptions) -> str | None:
    """The options as a job's row keeps them; None when there are none."""
    if options is NO_OPTIONS:
        return None
    said = {name: value for name, value in asdict(options).items() if value}
    return orjson.dumps(said).decode() if said else None


def instruction(options: AnswerOptions) -> str:
    """What the model is told of the language of its answer."""
    code = options.language
    return f"Answer in {NAMES[code]} (language code {code}), whatever language you are asked in."


def language(kept: str | None) -> str:
    """The language that the options of a job's row name; empty: none."""
    return str(orjson.loads(kept).get("language") or "") if kept else ""


def wants_thinking(kept: str | None) -> bool:
    """Whether the options of a job's row want the reasoning before the answer."""
    return kept is not None and bool(orjson.loads(kept).get("include_thinking"))
