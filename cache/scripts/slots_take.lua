-- Take one of an account's slots, or take one's place in the queue for them.
--
-- KEYS[1] held: the tokens of those who have a slot, by when that runs out   KEYS[2] waiting: by when they came
-- KEYS[3] seen: of those who wait, by when they asked last   KEYS[4] bound: what was found out (see slots_adapt.lua)
-- ARGV[1] token   ARGV[2] how many slots there are, as the caller knows; 0: it knows no bound
-- ARGV[3] how long one is held from now, ms   ARGV[4] who has not asked for so long, ms, waits no more
-- ARGV[5] 1: it waits if there is none; 0: it will not ask again
--
-- Answers {1: taken; 0: others have them, or came earlier, the bound that was found out or ''}. Times are Redis' own.
-- Whoever is at the head of a process' own queue asks, again and again: so the first who came is the first who is
-- served, over all processes.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now - ARGV[4])) do
  redis.call('ZREM', KEYS[2], gone)
  redis.call('ZREM', KEYS[3], gone)
end
local found = redis.call('HGET', KEYS[4], 'found')
local most = tonumber(ARGV[2])
if found and (most == 0 or tonumber(found) < most) then most = math.floor(tonumber(found)) end
redis.call('ZADD', KEYS[2], 'NX', time[1] * 1000000 + time[2], ARGV[1])
redis.call('ZADD', KEYS[3], now, ARGV[1])
local free = most == 0 and math.huge or most - redis.call('ZCARD', KEYS[1])
local taken = redis.call('ZRANK', KEYS[2], ARGV[1]) < free and 1 or 0
if taken == 1 or ARGV[5] == '0' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
end
if taken == 1 then redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1]) end
for index = 1, 3 do redis.call('PEXPIRE', KEYS[index], 10 * ARGV[3]) end
return {taken, found or ''}
