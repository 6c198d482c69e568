-- How many in other processes follow a draft, if it is the caller's that stands there.
--
-- KEYS[1] draft   KEYS[2] followers
-- ARGV[1] the maker's token
--
-- Answers how many have asked lately and not said that they leave.
if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[1] then return 0 end
local now = redis.call('TIME')
return redis.call('ZCOUNT', KEYS[2], now[1] * 1000 + now[2] / 1000, '+inf')
