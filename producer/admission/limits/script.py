"""The scripts that Redis runs for the limits, atomically and by its own clock: the sliding log, and who keeps it."""

#: The log of a rate's key: a list of `<forgotten at, microseconds> <admitted before> <admitted>`, a step of time each.
KEY = "fusionai.limit.{}"
#: Producer processes, by when they are deemed gone.
PROCESSES = "fusionai.limits.processes"

#: KEYS: logs. ARGV: how long an admission counts and the length of a step, in microseconds; then for each log its
#: limit, how much is asked for, how much was admitted while Redis was away, and how much one request takes, whole or
#: not at all. Answers for each: how much was admitted, how much counted before, microseconds until there is room for
#: one, microseconds until nothing counts.
#: Counts are cumulative, so that a log's sum is its last less its first. A log that ends later than any could was
#: written before Redis's clock was set back: it is dropped. So is what is no log at all.
ADMIT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local counts, step = tonumber(ARGV[1]), tonumber(ARGV[2])
local ends = (math.floor(now / step) + 1) * step + counts

local function entry(key, at)
  local text = redis.call('LINDEX', key, at)
  if not text then return nil end
  local forgotten, before, admitted = string.match(text, '^(%d+) (%d+) (%d+)$')
  return tonumber(forgotten), tonumber(before), tonumber(admitted)
end

local function add(key, number, last, before, admitted)
  if last and last >= ends then
    redis.call('LSET', key, -1, string.format('%.0f %.0f %.0f', last, before, admitted + number))
  else
    last = ends
    redis.call('RPUSH', key, string.format('%.0f %.0f %.0f', ends, before + admitted, number))
  end
  redis.call('PEXPIRE', key, math.ceil((last - now) / 1000) + 1000)
  return last
end

local function room_at(key, total, limit)
  local at, forgotten, before, admitted = 0, entry(key, 0)
  while forgotten and total - before - admitted >= limit do
    at = at + 1
    forgotten, before, admitted = entry(key, at)
  end
  return forgotten or now
end

local answers = {}
for at, key in ipairs(KEYS) do
  local limit, asked = tonumber(ARGV[4 * at - 1]), tonumber(ARGV[4 * at])
  local owed, cost = tonumber(ARGV[4 * at + 1]), tonumber(ARGV[4 * at + 2])
  if redis.call('TYPE', key).ok ~= 'list' then redis.call('DEL', key) end
  local last, before, admitted = entry(key, -1)
  if not last then redis.call('DEL', key) end
  if last and (last <= now or last > ends + step + 1000000) then
    redis.call('DEL', key)
    last = nil
  end
  local first, first_before = nil, 0
  if last then
    first, first_before = entry(key, 0)
    while first <= now do
      redis.call('LPOP', key)
      first, first_before = entry(key, 0)
    end
  else
    before, admitted = 0, 0
  end
  local counted = before + admitted - first_before + owed
  local granted = math.max(0, math.min(asked, limit - counted))
  granted = granted - granted % cost
  if granted + owed > 0 then last = add(key, granted + owed, last, before, admitted) end
  local room = 0
  local full = limit - cost + 1
  if counted + granted >= full then room = room_at(key, counted + granted + first_before, full) - now end
  answers[at] = {granted, counted, room, (last or now) - now}
end
return answers
"""

#: KEYS: the processes. ARGV: this one's name, and after how many seconds without another word it is gone. Answers how
#: many there are.
GREET = """
local now = tonumber(redis.call('TIME')[1])
if redis.call('TYPE', KEYS[1]).ok ~= 'zset' then redis.call('DEL', KEYS[1]) end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('EXPIRE', KEYS[1], 3600)
return redis.call('ZCARD', KEYS[1])
"""
