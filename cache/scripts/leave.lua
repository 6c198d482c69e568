-- Follow no longer.
--
-- KEYS[1] followers
-- ARGV[1] the follower's token
return redis.call('ZREM', KEYS[1], ARGV[1])
