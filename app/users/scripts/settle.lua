-- What was reserved is over: charged is what was spoken, the rest is given back.
--
-- KEYS     1 bucket of characters, 2 counts of the day and the month, 3 who is being spoken for, 4 what is reserved,
--          5 that this token was settled: what asks for it may still be under way
-- ARGV     token, characters, millionths of money, ms for which that is remembered
-- answers  1, or 0 where nothing is reserved under this token (any more): sent twice, it counts once
local kept = redis.call('HGET', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if not kept then
  redis.call('SET', KEYS[5], '', 'PX', ARGV[4])
  return 0
end
redis.call('HDEL', KEYS[4], ARGV[1])
local characters, money, today, month = string.match(kept, '(%d+) (%d+) (%d+) (%d+)')
local more, dearer = tonumber(ARGV[2]) - tonumber(characters), tonumber(ARGV[3]) - tonumber(money)
local used = redis.call('HGET', KEYS[1], 'used')
if used then
  redis.call('HSET', KEYS[1], 'used', string.format('%.6f', math.max(0, tonumber(used) + more)))
end
local counts = redis.call('HMGET', KEYS[2], 'day', 'characters', 'month', 'money')
if counts[1] == today then
  redis.call('HSET', KEYS[2], 'characters', string.format('%d', math.max(0, tonumber(counts[2]) + more)))
end
if counts[3] == month then
  redis.call('HSET', KEYS[2], 'money', string.format('%d', math.max(0, tonumber(counts[4]) + dearer)))
end
return 1
