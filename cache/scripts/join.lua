-- Find the value, or the one who is making it with what there is of its sound, or become that one. Changes nothing
-- unless the answer is "lead", but that who follows is noted as long as it asks again before the lease runs out.
--
-- KEYS[1] value   KEYS[2] lease   KEYS[3] failure   KEYS[4] pieces   KEYS[5] followers: tokens by when they lapse, ms
-- KEYS[6] maker: whose token the value was stored with, where somebody followed
-- ARGV[1] the asker's token   ARGV[2] length of a lease, ms
-- ARGV[3] token of the leader whose pieces the asker has, or empty   ARGV[4] how many of them
-- ARGV[5] how many to give at the most
-- ARGV[6] 1: a value will not do unless that leader has made it, for the asker wants it anew; 0: any will
--
-- Answers one of
--   {"value", value}                    it is there
--   {"lead"}                            the asker leads (now, or already: asking again after a lost reply is harmless)
--   {"follow", left, leader, {piece}}   another leads; its lease ends in so many ms unless it renews; its pieces: those
--                                       that the asker lacks, from the first if it has followed another so far
--   {"failed", code}                    it was tried a moment ago and failed
if ARGV[6] == '0' or (ARGV[3] ~= '' and redis.call('GET', KEYS[6]) == ARGV[3]) then
  local value = redis.call('GET', KEYS[1])
  if value then return {'value', value} end
end

local leader = redis.call('GET', KEYS[2])
if leader == ARGV[1] then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  return {'lead'}
end
if leader then
  local left = redis.call('PTTL', KEYS[2])
  local now = redis.call('TIME')
  -- Out of memory it fails, and what there is can be followed all the same.
  redis.pcall('ZADD', KEYS[5], now[1] * 1000 + now[2] / 1000 + left + ARGV[2] / 2, ARGV[1])
  redis.call('PEXPIRE', KEYS[5], left + ARGV[2])
  local had = leader == ARGV[3] and ARGV[4] or 0
  return {'follow', left, leader, redis.call('LRANGE', KEYS[4], had, had + ARGV[5] - 1)}
end

local code = redis.call('GET', KEYS[3])
if code then return {'failed', code} end

redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
-- Those of a leader that is gone: pieces are always the present leader's.
redis.call('DEL', KEYS[4], KEYS[5])
return {'lead'}
