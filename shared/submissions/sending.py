"""Which fields a provider is sent for a model, and under which names. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

#: OpenAI's models that take no `max_tokens`, by the upstream's name; a row's `limit` says otherwise.
_COMPLETION_LIMIT: Final = re.compile(r"([a-z]+/)?(gpt-?([5-9]|[1-9][0-9])|o[1-9])(?![0-9a-z])")


class Words(BaseModel):
    """What a row may say of the requests that go to it; a model's words are added to its provider's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Fields that it refuses or does not know (of messages: `messages[].name`): left out, and listed as `ignored`.
    omit: list[str] = []
    #: Hints (`shared.submissions.extras`) and fields of its own that it takes; others never go to it.
    takes: list[str] = []
    #: Its names for fields.
    rename: dict[str, str] = {}
    #: Its name for the limit on the tokens of an answer; empty: the usual one of its upstream.
    limit: Literal["", "max_tokens", "max_completion_tokens", "max_output_tokens"] = ""
    #: What is sent of fields that the caller leaves out.
    defaults: dict[str, float | int | str | bool] = {}
    #: Fields of which it takes one: a default gives way, and of what the caller gave the first is sent.
    either: list[str] = []
    #: Its names for the roles of messages.
    roles: dict[str, str] = {}
    #: Its names for service tiers, by ours: `flex`, `default` (the usual one), `priority`.
    tiers: dict[str, str] = {}
    #: What is sent beside tools, whatever is asked for.
    with_tools: dict[str, float | int | str | bool] = {}
    #: A tool's message has to say whose answer it is, beside the id of the call.
    tool_names: bool = False


_MESSAGES: Final = "messages[]."
#: What the release before this one sends unless an offer omits it; nothing else needs to stand in an offer.
_EARLIER: Final = frozenset(
    "temperature top_p n stop presence_penalty frequency_penalty seed logprobs top_logprobs tools tool_choice user "
    "parallel_tool_calls response_format encoding_format dimensions size".split()
)


class Sending(BaseModel):
    """The words of a model and its provider together."""

    model_config = ConfigDict(frozen=True)

    omit: frozenset[str] = frozenset()
    #: Those of messages: `name` for `messages[].name`.
    omit_of_messages: tuple[str, ...] = ()
    #: Those of them that a job's offers tell workers of an earlier release.
    omit_earlier: list[str] = []
    takes: frozenset[str] = frozenset()
    rename: Mapping[str, str] = {}
    defaults: Mapping[str, Any] = {}
    either: tuple[str, ...] = ()
    roles: Mapping[str, str] = {}
    tiers: Mapping[str, str] = {}
    with_tools: Mapping[str, Any] = {}
    tool_names: bool = False


PLAIN: Final = Sending()


def sending(provider: Words, model: Words, upstream: str) -> Sending:
    """What a model's row says, where it says nothing its provider's.

    >>> sending(Words(), Words(), "gpt-5-mini").rename
    {'max_tokens': 'max_completion_tokens'}
    """
    usual = "max_completion_tokens" if _COMPLETION_LIMIT.match(upstream) else "max_tokens"
    limit = model.limit or provider.limit or usual
    omit = frozenset(provider.omit) - frozenset(model.takes) | frozenset(model.omit)
    renamed = {**provider.rename, **model.rename}
    return Sending(
        omit=omit,
        omit_of_messages=tuple(sorted(name.removeprefix(_MESSAGES) for name in omit if name.startswith(_MESSAGES))),
        omit_earlier=sorted(omit & _EARLIER),
        takes=frozenset(provider.takes) | frozenset(model.takes),
        rename=renamed if limit == "max_tokens" else {"max_tokens": limit, **renamed},
        defaults={**provider.defaults, **model.defaults},
        either=tuple(model.either or provider.either),
        roles={**provider.roles, **model.roles},
        tiers={**provider.tiers, **model.tiers},
        with_tools={**provider.with_tools, **model.with_tools},
        tool_names=provider.tool_names or model.tool_names,
    )
