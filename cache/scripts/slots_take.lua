-- Take one of an account's slots, or take one's place in the queue for them.
--
-- KEYS[1] held: the tokens of those who have a slot, by when that runs out   KEYS[2] waiting: by when they came
-- KEYS[3] seen: of those who wait, by when they asked last
-- ARGV[1] token   ARGV[2] how many slots there are   ARGV[3] how long one is held from now, ms
-- ARGV[4] who has not asked for so long, ms, waits no more
--
-- Answers 1: taken; 0: others have them, or came earlier. Times are Redis' own. Whoever is at the head of a process'
-- own queue asks, again and again: so the first who came is the first who is served, over all processes.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now - ARGV[4])) do
  redis.call('ZREM', KEYS[2], gone)
  redis.call('ZREM', KEYS[3], gone)
end
redis.call('ZADD', KEYS[2], 'NX', time[1] * 1000000 + time[2], ARGV[1])
redis.call('ZADD', KEYS[3], now, ARGV[1])
local free = ARGV[2] - redis.call('ZCARD', KEYS[1])
local taken = 0
if redis.call('ZRANK', KEYS[2], ARGV[1]) < free then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
  taken = 1
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 10 * ARGV[3]) end
return taken
