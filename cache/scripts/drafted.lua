-- What a draft has from one position on, and whose it is, as of one moment.
--
-- KEYS[1] draft
-- ARGV[1] position of the first element that is wanted   ARGV[2] of the last one
--
-- Answers {token, last element of all, element, ...}, or {} when there is none.
local token = redis.call('LINDEX', KEYS[1], 0)
if not token then return {} end
return {token, redis.call('LINDEX', KEYS[1], -1), unpack(redis.call('LRANGE', KEYS[1], ARGV[1], ARGV[2]))}
