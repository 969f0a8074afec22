"""What Redis runs for readers of streams: what is new in many of them as one text, which is cheap to read. Pure."""

from collections.abc import Iterator, Sequence

from shared.answers import streams

#: KEYS: streams, the same perhaps several times. ARGV: the most entries of each, then after which id of each. Answers
#: a line an entry: the number of its stream among KEYS from 1, its id, and its chunk, which has no line ends in it.
NEWER = f"""
local lines = {{}}
for number, key in ipairs(KEYS) do
  local found = redis.pcall('XREAD', 'COUNT', ARGV[1], 'STREAMS', key, ARGV[number + 1])
  if found and not found.err then
    for _, entry in ipairs(found[1][2]) do
      local fields = entry[2]
      for at = 1, #fields, 2 do
        if fields[at] == '{streams.FIELD.decode()}' then
          lines[#lines + 1] = number .. ' ' .. entry[1] .. ' ' .. fields[at + 1]
        end
      end
    end
  end
end
return table.concat(lines, '\\n')
"""

#: Epoch, count and chunk.
Entry = tuple[int, int, bytes]


def entries(answer: bytes) -> Iterator[tuple[int, Sequence[Entry]]]:
    """What `NEWER` answered: by number of the stream, from 0, its entries in order.

    >>> [(number, list(found)) for number, found in entries(b'2 7-1 {"a":1}\\n2 7-2 {"a":2}')]
    [(1, [(7, 1, b'{"a":1}'), (7, 2, b'{"a":2}')])]
    """
    found: list[Entry] = []
    last = b""
    for line in answer.split(b"\n") if answer else ():
        number, id, chunk = line.split(b" ", 2)
        if number != last:
            if found:
                yield int(last) - 1, found
            found, last = [], number
        epoch, _, count = id.partition(b"-")
        found.append((int(epoch), int(count), chunk))
    if found:
        yield int(last) - 1, found
