-- Follow no longer.
--
-- KEYS[1] followers   KEYS[2] reached: of a draft only
-- ARGV[1] the follower's token
for _, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[1]) end
return 1
