-- Whether anybody at another replica follows what the caller leads.
--
-- KEYS[1] lease   KEYS[2] followers
-- ARGV[1] token
--
-- Answers how many flights of other processes have asked for pieces lately and not said that they leave; 0 also
-- when the lease has ended or is another's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local now = redis.call('TIME')
return redis.call('ZCOUNT', KEYS[2], now[1] * 1000 + now[2] / 1000, '+inf')
