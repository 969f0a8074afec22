"""The most tokens that the pictures shown to a model can come to: what is held for them. Pure.

Providers count a picture by its size: patches of so many pixels, each a token or some more, up to a most
(developers.openai.com/api/docs/guides/images-vision, platform.claude.com/docs/en/build-with-claude/vision), or a number
for whatever picture (ai.google.dev/gemini-api/docs/media-resolution). The size of one sent as base64 is known here; of
one at an address it is not, and the most is held.
"""

import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from shared.submissions import image_inputs

#: A picture that is to be shown in its original size is as many usual ones: 10,000 patches, at 1.2 tokens each.
_ORIGINAL: Final = 5
#: Characters of a picture's base64 in which its size is looked for; of a photograph it stands behind a preview.
_HEAD: Final = 4 * 65_536
#: Some levels of detail bring every picture to this size, in pixels a side, small ones too.
_LOW_SIDE: Final = 512


class PictureTokens(BaseModel):
    """How a model's provider counts a picture, in a row of the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: The most tokens, of any size and at any level of detail.
    most: int = Field(strict=True, gt=0)
    #: Pixels of a side of a patch; 0: a picture may come to the most whatever its size.
    patch: int = Field(strict=True, ge=0, default=0)
    #: Tokens of a hundred patches.
    percent: int = Field(strict=True, gt=0, default=100)

    def of_size(self, width: int, height: int) -> int:
        """The most tokens of a picture of this size.

        >>> [PictureTokens(most=36_000, patch=32, percent=120).of_size(*size) for size in ((64, 64), (4032, 3024))]
        [308, 14364]
        """
        if not self.patch:
            return self.most
        patches = max(_patches(width, height, self.patch), _patches(_LOW_SIDE, _LOW_SIDE, self.patch))
        return min(self.most, -(-patches * self.percent // 100))


def _patches(width: int, height: int, side: int) -> int:
    return -(-width // side) * -(-height // side)


def most_tokens(request: Mapping[str, Any], counted: PictureTokens | None, usual: int) -> int:
    """The most tokens of all pictures of a chat; `usual`: of one, where the model's row does not say how they count."""
    shown = list(_shown(request))
    if counted is None:
        return usual * sum(_ORIGINAL if one.get("detail") == "original" else 1 for one in shown)
    return sum(counted.of_size(*size) if (size := _size(one["url"])) else counted.most for one in shown)


def _shown(request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for message in request["messages"]:
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if part["type"] == "image_url":
                yield part["image_url"]


def _size(url: str) -> image_inputs.Size | None:
    """The width and height of a picture in a data URL, as it was `checked`; None: not known."""
    header, comma, text = url[: _HEAD + 100].partition(";base64,")
    if not comma or header[:5] != "data:":
        return None
    whole = text[: len(text) // 4 * 4]
    try:
        return image_inputs.measure(binascii.a2b_base64(whole))[1]
    except binascii.Error:
        return None
