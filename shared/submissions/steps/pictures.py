"""Pictures in a chat: how many tokens they are charged as, by their pixels, and an answer that is one. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from shared.submissions.picture_tokens import size_of
from shared.submissions.schemas import image_places

#: Pixels of a picture that is shown to the model for each token of input, and of one that is made for each of output.
PIXELS_SHOWN: Final = 1000
PIXELS_MADE: Final = 100
#: What is made when a picture is asked for.
SIZE: Final = "1024x1024"


def shown_tokens(request: Mapping[str, Any]) -> int:
    """Tokens of input of all pictures in a chat request, which are data (`remote`); each is rounded up."""
    sizes = [size_of(url) for _, url in image_places(request)]
    return sum(-(-width * height // PIXELS_SHOWN) for width, height in (size or (0, 0) for size in sizes))


def remote(request: Mapping[str, Any]) -> str | None:
    """The place of the first picture that is not data, if there is one: its pixels cannot be counted."""
    return next((place for place, url in image_places(request) if size_of(url) is None), None)


def made_tokens(size: str = SIZE) -> int:
    """Tokens of output of a picture of that size.

    >>> made_tokens("1024x1024")
    10486
    """
    width, _, height = size.partition("x")
    return -(-int(width) * int(height) // PIXELS_MADE)


def asked_for(prompt: str) -> dict[str, Any]:
    """The canonical request of a picture."""
    return {"prompt": prompt, "size": SIZE, "n": 1, "response_format": "b64_json"}


def message(body: Mapping[str, Any], prompt: str) -> dict[str, Any] | None:
    """The message of an answer that is the picture of an image result; None when that has no picture data."""
    data = body["data"][0].get("b64_json")
    if not data:
        return None
    shown = {"type": "image_url", "image_url": {"url": f"data:{_media_type(data)};base64,{data}"}}
    revised = {"revised_prompt": body["data"][0].get("revised_prompt") or prompt}
    return {"role": "assistant", "content": None, "refusal": None, "images": [shown | revised]}


#: How the base64 of a picture begins.
_MEDIA_TYPES: Final = {"/9j/": "image/jpeg", "UklG": "image/webp", "R0lG": "image/gif"}


def _media_type(data: str) -> str:
    return _MEDIA_TYPES.get(data[:4], "image/png")
