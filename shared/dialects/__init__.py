"""What the web and the batches process both need of dialects: their requests and answers, for the lines of batches.

A dialect whose requests may be lines of batches has a package here, with what makes canonical requests of its own and
its answers of jobs' rows, and a `LineFormat`: its `Dialect` (`producer.dialects`) names it, and so does LINE_FORMATS.
"""

from collections.abc import Mapping
from typing import Final

from shared.dialects.line_format import LineFormat
from shared.dialects.messages.lines import LINES as MESSAGES
from shared.dialects.responses.lines import LINES as RESPONSES

#: Those of every dialect that has one, by name.
LINE_FORMATS: Final[Mapping[str, LineFormat]] = {one.dialect: one for one in (RESPONSES, MESSAGES)}
#: The same by the url of their lines; other urls are the native ones.
BY_URL: Final[Mapping[str, LineFormat]] = {one.url: one for one in LINE_FORMATS.values()}
