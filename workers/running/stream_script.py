"""What Redis runs for a publisher: the entries of many streams appended in one command, which has one answer. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.answers import streams

#: KEYS: streams. ARGV: the channel and what is said on it once all is there, and how many entries a stream may have;
#: then for each stream how long it lives now, in seconds, how many entries it gets, and of each its id and its chunk.
#: An entry that is refused is one sent before, or a stale worker's: neither is a fault.
APPEND = f"""
local at = 4
for _, key in ipairs(KEYS) do
  local seconds, count = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, count do
    redis.pcall('XADD', key, 'MAXLEN', '~', ARGV[3], ARGV[at], '{streams.FIELD.decode()}', ARGV[at + 1])
    at = at + 2
  end
  redis.pcall('EXPIRE', key, seconds)
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
"""


@dataclass(frozen=True, slots=True)
class Addition:
    """What one stream gets: ids and chunks by turns, and how many seconds it lives from then on."""

    job_id: str
    seconds: int
    words: Sequence[str | bytes]

    @property
    def entries(self) -> int:
        """How many entries that are."""
        return len(self.words) // 2


def arguments(additions: Sequence[Addition], said: bytes, most_entries: int) -> tuple[list[str], list[Any]]:
    """KEYS and ARGV of `APPEND`; `said`: to whoever reads."""
    keys = []
    words: list[Any] = [streams.NEW_ENTRIES, said, most_entries]
    for one in additions:
        keys.append(streams.key(one.job_id))
        words += (one.seconds, one.entries)
        words += one.words
    return keys, words
