-- What wrk sends, one POST over and over, and what it reports, a line of JSON; tests/bench/load.py sets the environment.
wrk.method = "POST"
wrk.body = os.getenv("BENCH_BODY")
for name, value in os.getenv("BENCH_HEADERS"):gmatch("([^:\n]+): ([^\n]+)") do
  wrk.headers[name] = value
end

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init()
  expected = tonumber(os.getenv("BENCH_STATUS"))
  wrong = 0
end

function response(status)
  if status ~= expected then
    wrong = wrong + 1
  end
end

function done(summary, latency)
  local refused = 0
  for _, thread in ipairs(threads) do
    refused = refused + thread:get("wrong")
  end
  local errors = summary.errors
  print(string.format('{"answers":%d,"seconds":%.6f,"p50":%.6f,"p99":%.6f,"refused":%d,"broken":%d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, refused,
    errors.connect + errors.read + errors.write + errors.timeout))
end
