-- How many in other processes follow a draft, if it is the caller's that stands there, and how many of them wait.
--
-- KEYS[1] draft   KEYS[2] followers   KEYS[3] reached
-- ARGV[1] the maker's token   ARGV[2] how many elements the maker has
--
-- Answers {how many have asked lately and not said that they leave, how many of them have read all that the maker has}.
if redis.call('LINDEX', KEYS[1], 0) ~= ARGV[1] then return {0, 0} end
local now = redis.call('TIME')
local followers = redis.call('ZRANGEBYSCORE', KEYS[2], now[1] * 1000 + now[2] / 1000, '+inf')
local waiting = 0
for _, token in ipairs(followers) do
  local reached = redis.call('ZSCORE', KEYS[3], token)
  -- Of whom it is not known, since there was no memory to note it or it was evicted, he sets no pace.
  if not reached or tonumber(reached) >= tonumber(ARGV[2]) then waiting = waiting + 1 end
end
return {#followers, waiting}
