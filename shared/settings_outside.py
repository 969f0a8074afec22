"""The settings of what is called beside providers: webhooks, the data hub, and the web search."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings

from shared import settings_values
from shared.settings_faults import fault_of_template


class OutsideSettings(BaseSettings):
    """A part of `shared.settings.Settings`, which has the rest, and reads them."""

    #: Allow webhooks to loopback addresses (for the embedded mode) or to any private address (not recommended).
    webhooks_allow_loopback: bool = False
    webhooks_allow_private: bool = False
    #: Private hosts and networks that webhooks may be sent to, separated by commas: `10.1.0.0/16`, `hooks.internal`,
    #: `*.hooks.internal` (any name below it). Never link-local addresses or cloud metadata.
    webhooks_allow: str = ""
    #: Pauses between the attempts of a webhook delivery, in seconds, each stretched by up to a fifth at random; after
    #: the attempt that follows the last pause, the delivery has failed. The default is 11 attempts in about three days.
    webhook_schedule: str = "5,30,300,1800,7200,18000,36000,57600,64800,72000"
    #: Factor for these pauses (for tests).
    webhook_pace: float = Field(default=1.0, ge=0)
    #: Timeout of one attempt, and after how many days of failed attempts without a success a webhook is disabled (0:
    #: never).
    webhook_timeout_seconds: float = Field(default=15.0, gt=0, le=30)
    webhook_disable_days: float = Field(default=5.0, ge=0)

    #: An outside data hub, asked for the entities of `linked_context` that were not imported. Its URL, with `{type}`
    #: and `{id}` where these go (percent-encoded), and `{account}` if it answers for an account. Empty: there is none.
    data_hub_url: str = ""
    #: Its key, sent in the header X-API-KEY.
    data_hub_key: str = ""
    #: Seconds that it may take for one entity, and for which its answers are kept by a process (0: not at all).
    data_hub_seconds: float = Field(default=5.0, gt=0, le=60)
    data_hub_cache_seconds: float = Field(default=300.0, ge=0)
    #: Allow a data hub at a loopback address, or at any private address.
    data_hub_allow_loopback: bool = False
    data_hub_allow_private: bool = False

    #: The web search of chats with `grounding`: `searxng`, `brave` or `tavily`; empty: there is none. Its URL (empty:
    #: that of Brave or Tavily itself), and its key (SearXNG needs none).
    search_kind: Literal["", "searxng", "brave", "tavily"] = ""
    search_url: str = ""
    search_key: str = ""
    #: Seconds that a search may take, and how many results the model is given of each.
    search_seconds: float = Field(default=10.0, gt=0, le=60)
    search_results: int = Field(default=5, ge=1, le=20)
    #: Allow a web search at a loopback address, or at any private address.
    search_allow_loopback: bool = False
    search_allow_private: bool = False

    @field_validator("webhook_schedule")
    @classmethod
    def _is_a_schedule(cls, text: str) -> str:
        settings_values.pauses(text)
        return text

    @field_validator("webhooks_allow")
    @classmethod
    def _is_an_allow_list(cls, text: str) -> str:
        settings_values.allow_list(text)
        return text

    @model_validator(mode="after")
    def _has_its_search(self) -> Self:
        if self.search_kind == "searxng" and not self.search_url:
            raise ValueError("FUSIONAI_SEARCH_URL is missing: searxng has none of its own")
        if self.search_kind in ("brave", "tavily") and not self.search_key:
            raise ValueError(f"FUSIONAI_SEARCH_KEY is missing: {self.search_kind} needs one")
        return self

    @field_validator("data_hub_url")
    @classmethod
    def _has_the_places(cls, url: str) -> str:
        if url and (fault := fault_of_template(url)):
            raise ValueError(fault)
        return url

    @field_validator("data_hub_key")
    @classmethod
    def _fits_a_header(cls, key: str) -> str:
        if not (key.isascii() and key.isprintable()):
            raise ValueError("must be printable ASCII")
        return key
