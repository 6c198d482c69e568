-- Lengthen a lease, if it is still the caller's, and the life of its pieces.
--
-- KEYS[1] lease   KEYS[2] pieces
-- ARGV[1] token   ARGV[2] length from now, ms
--
-- Answers 1, or 0 when the lease has ended or is another's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
