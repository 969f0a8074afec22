"""Types of fields that many objects of the API have. Pure."""

from typing import Annotated

from pydantic import Field

Time = Annotated[int, Field(description="Unix time in seconds.")]
Credits = Annotated[float, Field(description="Credits, exact, with at most six decimals.")]
Count = Annotated[int, Field(ge=0)]
Labels = dict[str, str]
