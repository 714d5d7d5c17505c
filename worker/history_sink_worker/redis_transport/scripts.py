"""The Lua scripts of the crash-safe transport: each does in one step what must not be torn apart.

``allow-oom``: at maxmemory the queue must still be drained, or it stays full for ever.
"""

# Pops from the first list that has messages, and records the claims in the same step. With `appendfsync
# always` each step waits for the disk, so it takes as many as the worker has room for, up to a mebibyte:
# the one that goes beyond is taken, those behind it go back.
# KEYS: unacked, unacked_index, lists…; ARGV: id of the first claim less its number, how many at most, for
# each list its queue in JSON ("" for a consumer that acknowledges nothing: it gets one). Redis does not undo
# what a script did before it failed: if the claims can't be recorded (a key of another type, no permission),
# their messages go back first. A thousand at most, of lists and of messages: Lua cannot pass on any number.
CLAIM = """#!lua flags=allow-oom
for first = 3, #KEYS, 1000 do
  local pop, place = {'LMPOP', math.min(1000, #KEYS - first + 1)}, {}
  for i = first, first + pop[2] - 1 do pop[#pop + 1], place[KEYS[i]] = KEYS[i], i end
  for _, word in ipairs({'RIGHT', 'COUNT', math.min(tonumber(ARGV[2]), 1000)}) do pop[#pop + 1] = word end
  local found = redis.call(unpack(pop))
  if found then
    local list, messages = found[1], found[2]
    local queue, answer, size = ARGV[place[list]], {ARGV[1], place[list] - 3}, 0
    for n, message in ipairs(messages) do
      if size > 1048576 or n > 1 and queue == '' then break end
      size = size + #message
      answer[n + 2] = message
    end
    for n = #messages, #answer - 1, -1 do redis.call('RPUSH', list, messages[n]) end
    if queue ~= '' then
      local now, index, claims = redis.call('TIME')[1], {}, {}
      for n = 0, #answer - 3 do
        local id = ARGV[1] .. '-' .. n
        index[2 * n + 1], index[2 * n + 2] = now, id
        claims[2 * n + 1], claims[2 * n + 2] = id, '[' .. answer[n + 3] .. ',"",' .. queue .. ']'
      end
      local done = redis.pcall('ZADD', KEYS[2], unpack(index))
      if type(done) == 'number' then done = redis.pcall('HSET', KEYS[1], unpack(claims)) end
      if type(done) ~= 'number' then
        for n = #answer, 3, -1 do redis.call('RPUSH', list, answer[n]) end
        return done
      end
    end
    return answer
  end
end
return {ARGV[1]}"""

# Puts a message where it belongs and ends its claim, in this order; nothing if the claim is gone.
# KEYS: unacked, unacked_index, lists…; ARGV: claim id, message, RPUSH (next) or LPUSH (last).
PUT_BACK = """#!lua flags=allow-oom
local held = redis.call('HEXISTS', KEYS[1], ARGV[1])
if held == 1 then
  for i = 3, #KEYS do redis.call(ARGV[3], KEYS[i], ARGV[2]) end
  redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('ZREM', KEYS[2], ARGV[1])
return held"""

# Lets a message wait in Redis alone: its claim is renamed, and looks abandoned when its time has come.
# KEYS: unacked, unacked_index; ARGV: claim id, the new id, seconds to wait less the visibility timeout
DEFER = """#!lua flags=allow-oom
local claim = redis.call('HGET', KEYS[1], ARGV[1])
if claim then
  local time = redis.call('TIME')
  redis.call('ZADD', KEYS[2], time[1] + time[2] / 1000000 + ARGV[3], ARGV[2])
  redis.call('HSET', KEYS[1], ARGV[2], claim)
  redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('ZREM', KEYS[2], ARGV[1])"""

# Renews claims, and answers with those that nobody has renewed in time.
# KEYS: unacked_index, unacked_swept; ARGV: visibility timeout, the same for claims of stock
# workers (which renew nothing), the mark of ours, claim ids to renew…
# Nobody could renew while Redis or all the workers were away, and whoever is back first must not
# take the others' claims for abandoned. So `unacked_swept` remembers when a worker last looked,
# and since when that has gone on without a gap; only after a whole timeout is silence a sign.
SWEEP = """#!lua flags=allow-oom
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
for i = 4, #ARGV do redis.call('ZADD', KEYS[1], 'XX', now, ARGV[i]) end
local swept = redis.call('HMGET', KEYS[2], 'since', 'last')
local since = tonumber(swept[1]) or now
if now - (tonumber(swept[2]) or 0) > ARGV[1] / 3 then since = now end
redis.call('HSET', KEYS[2], 'since', since, 'last', now)
local abandoned = {}
if now - since < tonumber(ARGV[1]) then return abandoned end
local late = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1], 'WITHSCORES')
for i = 1, #late, 2 do
  local ours = string.sub(late[i], 1, #ARGV[3]) == ARGV[3]
  if ours or tonumber(late[i + 1]) <= now - ARGV[2] then abandoned[#abandoned + 1] = late[i] end
  if #abandoned == 100 then break end
end
return abandoned"""
