-- What was reserved is over: charged is what was spoken, the rest is given back.
--
-- KEYS     1 bucket of characters, 2 counts of the day and the month, 3 who is being spoken for, 4 what is reserved,
--          5 that this token was settled: what asks for it may still be under way
-- ARGV     token, characters, millionths of money, ms for which that is remembered, characters per minute (-1: no
--          limit), 1: it is remembered also where something was reserved
-- answers  1, or 0 where nothing is reserved under this token (any more): sent twice, it counts once
--
-- Of a minute's characters those are given back that have not been refilled meanwhile: what was reserved first is
-- refilled first. Otherwise who reserves for long and has nothing spoken would have them twice.
local STEP = 10000
local kept = redis.call('HGET', KEYS[4], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if not kept or ARGV[6] == '1' then redis.call('SET', KEYS[5], '', 'PX', ARGV[4]) end
if not kept then return 0 end
redis.call('HDEL', KEYS[4], ARGV[1])
local characters, money, today, month, ever = string.match(kept, '(%d+) (%d+) (%d+) (%d+) (%d+)')
local more, dearer = tonumber(ARGV[2]) - tonumber(characters), tonumber(ARGV[3]) - tonumber(money)
local room = tonumber(ARGV[5])
local had = redis.call('HMGET', KEYS[1], 'since', 'used', 'ever')
if room >= 0 and had[2] then
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  local used = tonumber(had[2])
  local refilled = math.max(0, math.floor((now - tonumber(had[1])) / STEP)) * room / 6
  -- Of what is used now, as much is older than what was reserved behind it.
  local since = tonumber(had[3] or 0) - tonumber(ever)
  local older = since < 0 and 0 or math.max(0, used - refilled - since)
  redis.call('HSET', KEYS[1], 'used', string.format('%.6f', math.max(0, used + math.max(more, -older))))
end
local counts = redis.call('HMGET', KEYS[2], 'day', 'characters', 'month', 'money')
if counts[1] == today then
  redis.call('HSET', KEYS[2], 'characters', string.format('%d', math.max(0, tonumber(counts[2]) + more)))
end
if counts[3] == month then
  redis.call('HSET', KEYS[2], 'money', string.format('%d', math.max(0, tonumber(counts[4]) + dearer)))
end
return 1
