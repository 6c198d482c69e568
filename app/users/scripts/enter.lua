-- One request of a user's: in if his bucket for requests has room for it.
--
-- KEYS     1 the bucket, 2 tickets of those who hold some of it paid for ahead, by when it goes back
-- ARGV     room (per minute), cost, how many more to pay for ahead (less than 0: so many were not used), whose tickets
--          begin with what; and, may be left out: a ticket of whose nothing is held any more, a new one for what is
--          paid for ahead, ms after which that goes back, and since when the bucket had been as it was when what was
--          not used was paid for
-- answers  {1 in, 0 not; what is left; ms until it is refilled, or until there would be room, -1: never;
--          how many more were paid for: a quarter of what is left at the most;
--          since when it has been as it is;
--          where it is not in: ms after which to ask again, as others may have given something back; 0: nobody else
--          holds anything}
--
-- What was paid for ahead before the last refill is given back as far as the refill has left some of what was used
-- until then: beyond that it is refilled already, and he would have it twice.
--
-- The generic cell rate algorithm on Redis' own clock, but for the clock's ticking six times a minute, from a full
-- bucket's first use on: then exactly what the bucket holds gets in at once, however long "at once" takes to arrive.
local STEP = 10000
-- For which a process that should have given something back, and is slow, is waited for. Behind it it is dead.
local LATE = 1000
local SOON = 50
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local room, cost, more = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if (ARGV[5] or '') ~= '' then redis.call('ZREM', KEYS[2], ARGV[5]) end
local had = redis.call('HMGET', KEYS[1], 'since', 'used', 'old')
local since, used, old = tonumber(had[1] or now), tonumber(had[2] or 0), tonumber(had[3] or 0)
local refill = room / 6
local ticks = math.floor((now - since) / STEP)
if ticks > 0 then
  used = math.max(0, used - ticks * refill)
  since, old = since + ticks * STEP, used
end
if used <= 0 then since, old = now, 0 end
if cost > room then return {0, math.floor(room - used), -1, 0, since, 0} end
-- Thirds do not add up: a millionth is nobody's request. What goes back is taken though a larger plan has used more.
if cost > 0 and used + cost > room + 1e-6 then
  local wanted = math.ceil((used + cost - room) / refill - 1e-6)
  local held = 0
  -- Beyond this room is only who has a larger one, too: he may hold some for as long as he likes.
  if used <= room + 1e-6 then
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - LATE)
    local tickets = redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
    for at = 1, #tickets, 2 do
      if string.sub(tickets[at], 1, #ARGV[4]) ~= ARGV[4] then held = math.max(SOON, tonumber(tickets[at + 1]) - now) end
    end
  end
  return {0, math.max(0, math.floor(room - used + 1e-6)), since + wanted * STEP - now, 0, since, held}
end
if more < 0 and since ~= tonumber(ARGV[8]) then
  more = since - STEP == tonumber(ARGV[8]) and -math.min(-more, old) or 0
  old = old + more
end
if more > 0 then more = math.max(0, math.min(more, math.floor((room - used - cost) / 4))) end
used = math.max(0, used + cost + more)
redis.call('HSET', KEYS[1], 'since', string.format('%d', since), 'used', string.format('%.6f', used),
  'old', string.format('%.6f', old))
redis.call('PEXPIRE', KEYS[1], 7 * STEP)
if more > 0 then
  redis.call('ZADD', KEYS[2], now + ARGV[7], ARGV[6])
  redis.call('PEXPIRE', KEYS[2], LATE + ARGV[7])
end
return {1, math.floor(room - used + 1e-6), since + STEP - now, math.max(0, more), since, 0}
