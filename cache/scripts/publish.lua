-- Append pieces of sound while it is made, lengthen the lease and wake the followers; if the lease is still the
-- caller's. Pieces have a place: after a lost reply, an eviction, or a lease taken anew, the caller learns how many
-- there are and goes on from there, so that none is there twice and none is missing.
--
-- KEYS[1] lease   KEYS[2] pieces
-- ARGV[1] token   ARGV[2] length of the lease from now, ms   ARGV[3] channel of notices
-- ARGV[4] how many pieces the caller believes there are   ARGV[5...] the pieces behind them
--
-- Answers how many there are now, or -1 when the lease has ended or is another's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local there = redis.call('LLEN', KEYS[2])
if there == tonumber(ARGV[4]) then
  there = redis.call('RPUSH', KEYS[2], unpack(ARGV, 5))
  redis.call('PUBLISH', ARGV[3], '')
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return there
