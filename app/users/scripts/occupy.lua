-- A user's open WebSockets.
--
-- KEYS[1]  a set of those, by when each has given its place back unless it says otherwise
-- ARGV     how many there may be (-1: those named here are open already), lease in ms (0: they are closed), tokens
-- answers  1, or 0 where there are as many as may be
--
-- Who is open already is put in again: Redis may have been away, or have lost him.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local most, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
if lease == 0 then
  for at = 3, #ARGV do redis.call('ZREM', KEYS[1], ARGV[at]) end
  return 1
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if most >= 0 and redis.call('ZCARD', KEYS[1]) >= most and not redis.call('ZSCORE', KEYS[1], ARGV[3]) then return 0 end
for at = 3, #ARGV do redis.call('ZADD', KEYS[1], now + lease, ARGV[at]) end
redis.call('PEXPIRE', KEYS[1], lease)
return 1
