-- Give a slot back, or wait for one no more; who waits is told that it is worth looking again.
--
-- KEYS[1] held   KEYS[2] waiting   KEYS[3] seen
-- ARGV[1] token   ARGV[2] channel of notices
for _, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[1]) end
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('PUBLISH', ARGV[2], '') end
return 1
