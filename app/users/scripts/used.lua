-- When a key was used last: not where it has been deleted meanwhile, as half a key would stay for good.
--
-- KEYS[1]  the key
-- ARGV     when
-- answers  1 noted, 0 there is none
if redis.call('HEXISTS', KEYS[1], 'hash') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'used', ARGV[1])
return 1
