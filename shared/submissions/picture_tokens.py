"""How many tokens the pictures shown to a model can be at most.

A model that shrinks every picture has one bound for all. One that reads a picture in the size it has (from gpt-5.6 on,
and from Claude 4.7 on up to a limit) names its limit in its catalogue row (`image_tokens`), and a picture that comes as
data is bounded by its own size; that of an address is not known here.

Sources: developers.openai.com/api/docs/guides/images-vision (patches of 32 pixels, 1.2 tokens each; 30,000 of them at
most, else the request is refused; 2,500 in high detail, those of 512 pixels a side in low),
platform.claude.com/docs/en/build-with-claude/vision (patches of 28 pixels, 4,784).
"""

import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Final

from shared.submissions.image_inputs import Size, measure

#: A picture that is to be shown in its original size is as many usual ones: 10,000 patches, at 1.2 tokens each.
ORIGINAL: Final = 5
#: The side of a patch, the smaller of the two above, and hundredths of a token that a patch costs, the larger.
_PATCH: Final = 28
_HUNDREDTHS: Final = 120
#: Characters of base64 in which the size usually stands; a multiple of 4.
_HEAD: Final = 64 * 1024


def bound(request: Mapping[str, Any], *, usual: int, most: int, details: Mapping[Any, int]) -> int:
    """The most tokens of a chat's pictures together.

    `usual`: of one, as the catalogue's overheads say; `most`: as the model's row does, 0 where it says nothing;
    `details`: of one that is asked for in that detail, if its row says so.
    """
    total = 0
    for picture in _shown(request):
        said = details.get(picture.get("detail") or "")
        total += _one(picture, usual, most) if said is None else _one(picture, min(usual, said), said)
    return total


def of_size(size: Size) -> int:
    """The most tokens of a picture that is read in the size it has.

    >>> of_size((4032, 3024)), of_size((1, 1))
    (18663, 2)
    """
    width, height = (-(-side // _PATCH) for side in size)
    return -(-width * height * _HUNDREDTHS // 100)


def _shown(request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for message in request.get("messages", ()):
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if part["type"] == "image_url":
                yield part["image_url"]


def _one(picture: Mapping[str, Any], usual: int, most: int) -> int:
    if most <= usual:
        return usual * (ORIGINAL if picture.get("detail") == "original" else 1)
    size = size_of(picture["url"])
    return most if size is None else max(usual, min(most, of_size(size)))


def size_of(url: str) -> Size | None:
    """Width and height of a picture that is in its address, which was checked; None of any other."""
    if not url.startswith("data:"):
        return None
    data = url[url.index(",") + 1 :]
    found = measure(binascii.a2b_base64(data[:_HEAD]))[1]
    return found or measure(binascii.a2b_base64(data))[1]
