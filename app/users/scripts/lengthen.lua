-- Those who are still being spoken for keep their places.
--
-- KEYS[1]  who is being spoken for
-- ARGV     lease in ms, then tokens
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for at = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[at]) then redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), ARGV[at]) end
end
return 1
