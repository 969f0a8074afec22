"""How a dialect writes the lines of batches: the value that its `Dialect` names, and that the batches process uses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from shared.errors import RequestRefused
from shared.submissions.schemas import Submission

#: A refusal of the native request, naming the field as the body has it, without a prefix.
Renamed: TypeAlias = Callable[[RequestRefused], RequestRefused]


@dataclass(frozen=True, slots=True)
class LineFormat:
    """Lines whose body is a request in a dialect's own form, and whose answer is in that form too.

    Beside the native request such a job keeps the body as it was sent, which is what a retry sends again.
    """

    #: As jobs keep it, and as its `Dialect` is called.
    dialect: str
    #: The `url` of its lines, which `shared.submissions.job_types.ENDPOINTS` has too.
    url: str
    #: The submission of a body, given whether unknown fields are ignored, and how to name what is wrong with it later;
    #: a refusal names the field as it was sent, without a prefix.
    read: Callable[[dict[str, Any], bool], tuple[Submission, Renamed]]
    #: The body of a line that succeeded, of the row of its job (`workers.batches.merging`).
    answer: Callable[[Mapping[str, Any]], Any]
    #: The body of a line that failed, of its job's error as it is stored and the job's id.
    refusal: Callable[[Mapping[str, Any], str], Any]
