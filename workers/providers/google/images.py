"""Images: generateContent with the modality IMAGE, one request for each picture.

Source: https://ai.google.dev/gemini-api/docs/image-generation. A picture comes as inlineData of a part that is no
thought; its size is said as an aspect ratio and, beyond about a megapixel, as 2K or 4K. (Imagen's `:predict` is no
longer in the Gemini API: its client, from 3.0 on, offers it for Vertex AI alone.) Pictures that were made are given,
though others of the same job were not.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from shared import clock
from shared.errors import ProviderError
from shared.submissions import extras
from shared.submissions.schemas import UNASKED, Usage, picture_kind
from workers.answers import results
from workers.answers.shape import wrong
from workers.providers import ProviderCall
from workers.providers.google.answers import filtered, refuse_blocked

METHOD: Final = "generateContent"
#: The ratios that every image model has; the nearest to what was asked for is taken.
_RATIOS: Final = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
#: From so many pixels on a picture is asked for in that size; else in the usual one, of about a megapixel.
_SIZES: Final = ((2896 * 2896, "4K"), (1448 * 1448, "2K"))
_SENT: Final = frozenset({"prompt", "size", "n", extras.KEY, UNASKED})


def payload(call: ProviderCall) -> bytes:
    """The body to send, for one picture."""
    width, _, height = call.request["size"].partition("x")
    config: dict[str, Any] = {"aspectRatio": _ratio(int(width), int(height))}
    pixels = int(width) * int(height)
    if size := next((name for least, name in _SIZES if pixels >= least), None):
        config["imageSize"] = size
    return orjson.dumps(
        {
            "contents": [{"role": "user", "parts": [{"text": call.request["prompt"]}]}],
            "generationConfig": {"responseModalities": ["IMAGE"], "imageConfig": config},
        }
    )


def left_out(call: ProviderCall) -> list[str]:
    """What of a request is not passed on."""
    handled = _SENT.union(call.request.get(UNASKED, ()))
    beside = extras.left(call.request.get(extras.KEY) or {}, frozenset())
    return [*(name for name in call.request if name not in handled), *beside]


def picture(body: Mapping[str, Any]) -> dict[str, Any]:
    """The picture of one answer; ProviderError when there is none."""
    candidates = body.get("candidates")
    if not candidates:
        refuse_blocked(body)
        raise _none()
    if not isinstance(candidates, list) or not isinstance(candidates[0], Mapping):
        raise wrong("candidates", "is not an array of objects")
    content = candidates[0].get("content") or {}
    for part in content.get("parts") or ():
        given = part.get("inlineData")
        if given and not part.get("thought") and given.get("data") != "":
            if not isinstance(given.get("data"), str):
                raise wrong("candidates[0].content.parts[].inlineData.data", "is not a string")
            return {"b64_json": given["data"]}
    if filtered(reason := candidates[0].get("finishReason")):
        why = f"the provider blocked the image ({reason})"
        raise ProviderError(why, upstream_status=400, code="content_filter")
    raise _none()


def read(call: ProviderCall, pictures: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], Usage]:
    """The result, and what was used."""
    used = Usage(images=len(pictures), size=picture_kind(call.request, call.offer.images))
    return results.images(clock.now_seconds(), pictures), used


def _ratio(width: int, height: int) -> str:
    """The nearest of the ratios.

    >>> _ratio(1024, 1024), _ratio(1536, 1024), _ratio(1024, 1792)
    ('1:1', '3:2', '9:16')
    """
    wanted = math.log(max(width, 1) / max(height, 1))
    return min(_RATIOS, key=lambda ratio: abs(wanted - _log(ratio)))


def _log(ratio: str) -> float:
    width, _, height = ratio.partition(":")
    return math.log(int(width) / int(height))


def _none() -> ProviderError:
    return ProviderError("the provider's response contains no images", upstream_status=200, code="empty")
