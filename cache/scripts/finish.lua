-- Store what was made and end the lease, if it is still the caller's. This is the fence: whoever lost the lease
-- while working is refused, so that a value is never replaced under those who read it.
--
-- KEYS[1] value   KEYS[2] lease   KEYS[3] pieces   KEYS[4] followers   KEYS[5] maker
-- ARGV[1] token   ARGV[2] value   ARGV[3] lifetime, ms   ARGV[4] channel of notices
-- ARGV[5] 1: the caller made it; 0: it found it
--
-- Answers "stored", "refused" (not the leader), or "full" (no memory: the lease is ended, nothing is stored).
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 'refused' end
-- One that is replaced for a while only keeps its lifetime: it may be somebody else's, too.
local lifetime = math.max(tonumber(ARGV[3]), redis.call('PTTL', KEYS[1]))
-- Out of memory, SET fails while DEL and PUBLISH still work: followers must not wait for the lease to run out.
local answer = redis.pcall('SET', KEYS[1], ARGV[2], 'PX', lifetime)
local full = type(answer) == 'table' and answer.err
if ARGV[5] == '1' and redis.call('EXISTS', KEYS[4]) == 1 then
  -- Followers who want it anew can tell it from the old by this. They ask at once, or when the lease would have ended.
  redis.pcall('SET', KEYS[5], ARGV[1], 'PX', 10000)
end
-- One that was to be replaced is not wanted any more. No SET after this: behind a DEL a script is let pass the bound.
if full then redis.call('DEL', KEYS[1]) end
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
redis.call('PUBLISH', ARGV[4], '')
if full then return 'full' end
return 'stored'
