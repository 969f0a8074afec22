"""The Python SDK of FusionAI: the official OpenAI client against this API, with what is this API's own beside it.

>>> client = FusionAI(base_url="http://127.0.0.1:8000/v1", api_key="fusionai_live_…")        # doctest: +SKIP
>>> client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "Hello"}])   # doctest: +SKIP
>>> client.jobs.wait(client.jobs.create(type="embedding", model="m", input="a").id).status   # doctest: +SKIP
'succeeded'

Names are loaded when they are first used: `fusionai.plain`, which the command stands on, needs no OpenAI client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from fusionai.batching import BatchResult as BatchResult
    from fusionai.batching import abatch as abatch
    from fusionai.batching import batch as batch
    from fusionai.client import AsyncFusionAI as AsyncFusionAI
    from fusionai.client import FusionAI as FusionAI
    from fusionai.errors import APIConnectionError as APIConnectionError
    from fusionai.errors import APIError as APIError
    from fusionai.errors import APIStatusError as APIStatusError
    from fusionai.errors import APITimeoutError as APITimeoutError
    from fusionai.errors import AuthenticationError as AuthenticationError
    from fusionai.errors import BadRequestError as BadRequestError
    from fusionai.errors import BatchFailedError as BatchFailedError
    from fusionai.errors import ConflictError as ConflictError
    from fusionai.errors import GatewayTimeoutError as GatewayTimeoutError
    from fusionai.errors import IdempotencyMismatchError as IdempotencyMismatchError
    from fusionai.errors import InsufficientCreditsError as InsufficientCreditsError
    from fusionai.errors import InternalServerError as InternalServerError
    from fusionai.errors import MethodNotAllowedError as MethodNotAllowedError
    from fusionai.errors import NotFoundError as NotFoundError
    from fusionai.errors import PayloadTooLargeError as PayloadTooLargeError
    from fusionai.errors import PermissionDeniedError as PermissionDeniedError
    from fusionai.errors import RateLimitError as RateLimitError
    from fusionai.errors import StreamCutError as StreamCutError
    from fusionai.errors import StreamError as StreamError
    from fusionai.errors import UnavailableError as UnavailableError
    from fusionai.errors import UnexpectedAnswerError as UnexpectedAnswerError
    from fusionai.errors import UnsupportedMediaTypeError as UnsupportedMediaTypeError
    from fusionai.errors import UpstreamError as UpstreamError
    from fusionai.errors import WaitTimeoutError as WaitTimeoutError
    from fusionai.webhook_verification import SeenEvents as SeenEvents
    from fusionai.webhook_verification import WebhookVerificationError as WebhookVerificationError

#: Name → the module that has it, loaded when it is asked for; errors are in `fusionai.errors`.
_PLACES = {
    "AsyncFusionAI": "client",
    "BatchResult": "batching",
    "FusionAI": "client",
    "SeenEvents": "webhook_verification",
    "WebhookVerificationError": "webhook_verification",
    "abatch": "batching",
    "batch": "batching",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("fusionai")
    place = _PLACES.get(name) or ("errors" if name.endswith("Error") else None)
    if place is None:
        raise AttributeError(f"module 'fusionai' has no attribute {name!r}")
    try:
        value = getattr(import_module(f"fusionai.{place}"), name)
    except AttributeError:
        raise AttributeError(f"module 'fusionai' has no attribute {name!r}") from None
    globals()[name] = value
    return value
