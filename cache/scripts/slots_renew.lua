-- Hold slots for longer: those of the tokens that are still held.
--
-- KEYS[1] held
-- ARGV[1] how long from now, ms   ARGV[2...] tokens
local time = redis.call('TIME')
local ends = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
for index = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', ends, ARGV[index]) end
redis.call('PEXPIRE', KEYS[1], 10 * ARGV[1])
return 1
