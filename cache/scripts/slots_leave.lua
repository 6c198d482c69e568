-- Give a slot back, or wait for one no more.
--
-- KEYS[1] held   KEYS[2] waiting   KEYS[3] seen
-- ARGV[1] token
for _, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[1]) end
return 1
