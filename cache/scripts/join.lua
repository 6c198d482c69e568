-- Find the value, or the one who is making it, or become that one. Changes nothing unless the answer is "lead".
--
-- KEYS[1] value   KEYS[2] lease   KEYS[3] failure
-- ARGV[1] the asker's token   ARGV[2] length of a lease, ms
--
-- Answers one of
--   {"value", value}         it is there
--   {"lead"}                 the asker leads (now, or already: asking again after a lost reply is harmless)
--   {"follow", left}         another leads; its lease ends in so many ms unless it renews
--   {"failed", code}         it was tried a moment ago and failed
local value = redis.call('GET', KEYS[1])
if value then return {'value', value} end

local leader = redis.call('GET', KEYS[2])
if leader == ARGV[1] then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  return {'lead'}
end
if leader then return {'follow', redis.call('PTTL', KEYS[2])} end

local code = redis.call('GET', KEYS[3])
if code then return {'failed', code} end

redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {'lead'}
