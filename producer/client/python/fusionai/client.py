"""`FusionAI` and `AsyncFusionAI`: OpenAI's clients with this API's manners, and with what is this API's own.

Chat, streams, embeddings, images, files, batches and responses are the official SDK's.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, Self

import httpx2
from openai import AsyncOpenAI, OpenAI
from openai._types import NotGiven, not_given

from fusionai import manners, whereabouts
from fusionai.answers import check_stream, understood, unreadable
from fusionai.base_client import BaseFusionAI, Timeout
from fusionai.errors import UnexpectedAnswerError
from fusionai.resources.credits import AsyncCredits, Credits
from fusionai.resources.events import AsyncEvents, Events
from fusionai.resources.invoices import AsyncInvoices, Invoices
from fusionai.resources.jobs import AsyncJobs, Jobs
from fusionai.resources.models import AsyncModels, Models
from fusionai.resources.usage import AsyncUsageReports, UsageReports
from fusionai.resources.webhooks import AsyncWebhooks, Webhooks


class FusionAI(BaseFusionAI, OpenAI):
    """One account's view of the API at `base_url`, with /v1."""

    def __init__(
        self,
        *,
        base_url: str | httpx2.URL | None = None,
        api_key: str | Callable[[], str] | None = None,
        timeout: Timeout = manners.TIMEOUT_SECONDS,
        stream_timeout: Timeout = manners.STREAM_TIMEOUT_SECONDS,
        max_retries: int = manners.MAX_RETRIES,
        default_headers: Mapping[str, str] | None = None,
        webhook_secret: str | None = None,
        http_client: httpx2.Client | None = None,
        **more: Any,
    ) -> None:
        """`base_url` defaults to FUSIONAI_BASE_URL, else to the server of this machine; `api_key` to FUSIONAI_API_KEY.

        `timeout`, `stream_timeout`: seconds for an answer, for the silence in a stream. `webhook_secret` defaults to
        FUSIONAI_WEBHOOK_SECRET. `more`: as of OpenAI's client.
        """
        super().__init__(
            base_url=whereabouts.address(base_url),
            api_key=whereabouts.key(api_key),
            webhook_secret=whereabouts.webhook_secret(webhook_secret),
            timeout=timeout,
            max_retries=max_retries,
            default_headers=default_headers,
            http_client=http_client,
            **more,
        )
        self._settle(stream_timeout, http_client, default_headers)

    def request(self, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        """As of OpenAI's client; a stream is one that knows its end."""
        self._stay_in_process()
        if stream:
            stream_cls = self._streamed(options, stream_cls)
        return super().request(cast_to, options, stream=stream, stream_cls=stream_cls)

    def _prepare_options(self, options: Any) -> Any:
        return self._stays(super()._prepare_options(options))

    def _process_response(self, *, cast_to: Any, response: Any, stream: bool, **given: Any) -> Any:
        try:
            if stream:
                check_stream(response)
            made = super()._process_response(cast_to=cast_to, response=response, stream=stream, **given)
            return made if stream else understood(made, cast_to, response)
        except (ValueError, RecursionError):
            raise unreadable(response) from None
        except UnexpectedAnswerError:
            response.close()
            raise

    def copy(self, *, stream_timeout: Timeout | NotGiven = not_given, **options: Any) -> Self:
        """The same client with other options."""
        self._stay_in_process()
        made = super().copy(**self._copied(stream_timeout, options))
        made._makes_http = self._makes_http and options.get("http_client") is None
        return made

    with_options = copy

    @cached_property
    def jobs(self) -> Jobs:
        """Jobs: submitted, waited for, streamed, listed, cancelled."""
        return Jobs(self)

    @cached_property
    def credits(self) -> Credits:
        """The balance, its history, and the levels that send an event."""
        return Credits(self)

    @cached_property
    def usage(self) -> UsageReports:
        """What was used."""
        return UsageReports(self)

    @cached_property
    def events(self) -> Events:
        """Every event, in order."""
        return Events(self)

    @cached_property
    def invoices(self) -> Invoices:
        """Purchases of credits, and statements."""
        return Invoices(self)

    @cached_property
    def webhooks(self) -> Webhooks:  # type: ignore[override]
        """Webhooks, and the verification of what they receive."""
        return Webhooks(self)

    @cached_property
    def models(self) -> Models:  # type: ignore[override]
        """What the key can use, with prices."""
        return Models(self)


class AsyncFusionAI(BaseFusionAI, AsyncOpenAI):
    """The same, asynchronously."""

    def __init__(
        self,
        *,
        base_url: str | httpx2.URL | None = None,
        api_key: str | Callable[[], Awaitable[str]] | None = None,
        timeout: Timeout = manners.TIMEOUT_SECONDS,
        stream_timeout: Timeout = manners.STREAM_TIMEOUT_SECONDS,
        max_retries: int = manners.MAX_RETRIES,
        default_headers: Mapping[str, str] | None = None,
        webhook_secret: str | None = None,
        http_client: httpx2.AsyncClient | None = None,
        **more: Any,
    ) -> None:
        """As of `FusionAI`."""
        super().__init__(
            base_url=whereabouts.address(base_url),
            api_key=whereabouts.key(api_key),
            webhook_secret=whereabouts.webhook_secret(webhook_secret),
            timeout=timeout,
            max_retries=max_retries,
            default_headers=default_headers,
            http_client=http_client,
            **more,
        )
        self._settle(stream_timeout, http_client, default_headers)

    async def request(self, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        """As of OpenAI's client; a stream is one that knows its end."""
        self._stay_in_process()
        if stream:
            stream_cls = self._streamed(options, stream_cls)
        return await super().request(cast_to, options, stream=stream, stream_cls=stream_cls)

    async def _prepare_options(self, options: Any) -> Any:
        return self._stays(await super()._prepare_options(options))

    async def _process_response(self, *, cast_to: Any, response: Any, stream: bool, **given: Any) -> Any:
        try:
            if stream:
                check_stream(response)
            made = await super()._process_response(cast_to=cast_to, response=response, stream=stream, **given)
            return made if stream else understood(made, cast_to, response)
        except (ValueError, RecursionError):
            raise unreadable(response) from None
        except UnexpectedAnswerError:
            await response.aclose()
            raise

    def copy(self, *, stream_timeout: Timeout | NotGiven = not_given, **options: Any) -> Self:
        """The same client with other options."""
        self._stay_in_process()
        made = super().copy(**self._copied(stream_timeout, options))
        made._makes_http = self._makes_http and options.get("http_client") is None
        return made

    with_options = copy

    @cached_property
    def jobs(self) -> AsyncJobs:
        """Jobs: submitted, waited for, streamed, listed, cancelled."""
        return AsyncJobs(self)

    @cached_property
    def credits(self) -> AsyncCredits:
        """The balance, its history, and the levels that send an event."""
        return AsyncCredits(self)

    @cached_property
    def usage(self) -> AsyncUsageReports:
        """What was used."""
        return AsyncUsageReports(self)

    @cached_property
    def events(self) -> AsyncEvents:
        """Every event, in order."""
        return AsyncEvents(self)

    @cached_property
    def invoices(self) -> AsyncInvoices:
        """Purchases of credits, and statements."""
        return AsyncInvoices(self)

    @cached_property
    def webhooks(self) -> AsyncWebhooks:  # type: ignore[override]
        """Webhooks, and the verification of what they receive."""
        return AsyncWebhooks(self)

    @cached_property
    def models(self) -> AsyncModels:  # type: ignore[override]
        """What the key can use, with prices."""
        return AsyncModels(self)
