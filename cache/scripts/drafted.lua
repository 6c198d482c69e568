-- What a draft has from one position on, and whose it is, as of one moment; notes who follows it.
--
-- KEYS[1] draft   KEYS[2] followers: tokens by when they lapse, ms   KEYS[3] reached: tokens by the position they ask for
-- ARGV[1] position of the first element that is wanted   ARGV[2] how many at the most
-- ARGV[3] how many bytes at the most, but for a single element
-- ARGV[4] the follower's token; empty: somebody who only looks   ARGV[5] for how long it is noted, ms
--
-- Answers {token, last element of all, element, ...}, or {} when there is none.
local token = redis.call('LINDEX', KEYS[1], 0)
if not token then return {} end
if ARGV[4] ~= '' then
  local now = redis.call('TIME')
  -- Out of memory it fails, and what there is can be read all the same.
  redis.pcall('ZADD', KEYS[2], now[1] * 1000 + now[2] / 1000 + ARGV[5], ARGV[4])
  redis.pcall('ZADD', KEYS[3], ARGV[1], ARGV[4])
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
end
local answer, size = {token, redis.call('LINDEX', KEYS[1], -1)}, 0
for _, element in ipairs(redis.call('LRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1)) do
  size = size + #element
  if #answer > 2 and size > tonumber(ARGV[3]) then break end
  answer[#answer + 1] = element
end
return answer
