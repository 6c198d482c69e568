-- End a lease without a value, if it is still the caller's.
--
-- KEYS[1] lease   KEYS[2] failure   KEYS[3] pieces   KEYS[4] followers
-- ARGV[1] token   ARGV[2] code of the failure   ARGV[3] how long to remember it, ms; 0: not at all
-- ARGV[4] channel of notices
--
-- Answers 1, or 0 when the lease has ended or is another's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[3], KEYS[4])
if tonumber(ARGV[3]) > 0 then redis.pcall('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
redis.call('PUBLISH', ARGV[4], '')
return 1
