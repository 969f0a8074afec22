"""How large a request, a list of jobs, a batch and its lines may be: each limit once, for server and client. Pure."""

from typing import Final

#: Bytes of a request body that carries jobs.
MOST_BODY_BYTES: Final = 50 * 1024 * 1024
#: Jobs of one request.
MOST_JOBS: Final = 1_000

#: Bytes of an uploaded file.
MOST_FILE_BYTES: Final = 200 * 1024 * 1024
#: Lines of a batch's file, each of them a job; and with blank ones, which are none.
MOST_LINES: Final = 50_000
MOST_WITH_BLANKS: Final = 2 * MOST_LINES
#: Bytes of a line: its body alone may be a request's.
MOST_LINE_BYTES: Final = MOST_BODY_BYTES
#: Characters of a line's `custom_id`.
MOST_CUSTOM_ID: Final = 512
#: Hours that a batch may be given.
SHORTEST_HOURS, LONGEST_HOURS = 1, 168
#: Objects of one page of a list, and ids asked for at once.
MOST_PAGE: Final = 100
#: So many faults of a file are listed.
MOST_FAULTS: Final = 100
