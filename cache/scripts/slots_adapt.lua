-- What an account bears at once, as it is found out: half as many behind a refusal, one more for as many that were
-- spoken as it bears.
--
-- KEYS[1] held   KEYS[2] bound: found (a number, 1 at least), halved (when, ms)
-- ARGV[1] one was refused for there being too many, when the caller had so many under way; 0: one was spoken
-- ARGV[2] how many slots there are, as the caller knows; 0: it knows no bound
-- ARGV[3] between two halvings, ms: the refusals of one burst are one   ARGV[4] how long it is remembered, ms
--
-- Answers what is found now; '': nothing, or no less than the caller knows.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local kept = redis.call('HMGET', KEYS[2], 'found', 'halved')
local found = tonumber(kept[1] or '')
local most = tonumber(ARGV[2])
local refused = tonumber(ARGV[1])
if refused > 0 then
  if not found or now - tonumber(kept[2]) >= tonumber(ARGV[3]) then
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
    local before = found or (most > 0 and most) or math.max(redis.call('ZCARD', KEYS[1]), refused)
    found = math.max(1, before / 2)
    redis.call('HSET', KEYS[2], 'found', tostring(found), 'halved', now)
  end
elseif found then
  found = found + 1 / found
  if most > 0 and found >= most then
    redis.call('DEL', KEYS[2])
    return ''
  end
  redis.call('HSET', KEYS[2], 'found', tostring(found))
end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return found and tostring(found) or ''
