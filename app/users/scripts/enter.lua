-- One request of a user's: in if his bucket for requests has room for it.
--
-- KEYS[1]  the bucket
-- ARGV     room (per minute), cost, how many more to pay for ahead (less than 0: so many were not used), and of those
--          since when the bucket had been as it was when they were paid for
-- answers  {1 in, 0 not; what is left; ms until it is refilled, or until there would be room, -1: never;
--          how many more were paid for: all, or none where that would leave less than half of the room;
--          and since when it has been as it is}
--
-- What was paid for ahead and has been refilled is not given back: he would have it twice.
--
-- The generic cell rate algorithm on Redis' own clock, but for the clock's ticking six times a minute, from a full
-- bucket's first use on: then exactly what the bucket holds gets in at once, however long "at once" takes to arrive.
local STEP = 10000
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local room, cost, more = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local had = redis.call('HMGET', KEYS[1], 'since', 'used')
local since, used = tonumber(had[1] or now), tonumber(had[2] or 0)
local refill = room / 6
local ticks = math.floor((now - since) / STEP)
if ticks > 0 then
  used = math.max(0, used - ticks * refill)
  since = since + ticks * STEP
end
if used <= 0 then since = now end
if cost > room then return {0, math.floor(room - used), -1, 0} end
-- Thirds do not add up: a millionth is nobody's request.
if used + cost > room + 1e-6 then
  local wanted = math.ceil((used + cost - room) / refill - 1e-6)
  return {0, math.max(0, math.floor(room - used + 1e-6)), since + wanted * STEP - now, 0}
end
if more < 0 and since ~= tonumber(ARGV[4]) then more = 0 end
if more > 0 and room - used - cost - more < room / 2 then more = 0 end
used = math.max(0, used + cost + more)
redis.call('HSET', KEYS[1], 'since', string.format('%d', since), 'used', string.format('%.6f', used))
redis.call('PEXPIRE', KEYS[1], 7 * STEP)
return {1, math.floor(room - used + 1e-6), since + STEP - now, math.max(0, more), since}
