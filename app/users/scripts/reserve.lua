-- Characters, money and a place among those who are spoken for at once: all of it, or nothing.
--
-- KEYS     1 bucket of characters, 2 counts of the day and the month, 3 who is being spoken for, 4 what is reserved,
--          5 whether this token was settled before it came here
-- ARGV     token, characters, millionths of money, and of each what there may be (-1: no limit): characters per
--          minute, per day, requests at once, millionths per month; then the place's lease in ms
-- answers  {'ok' | 'minute' | 'day' | 'concurrent' | 'budget', ms until it would do (-1: never, or not known),
--          characters left for the minute, ms until they are refilled}
--
-- Asked again with the same token, where the answer was lost, it answers as before and reserves nothing more. A question
-- that was given up, and settled, and arrives only then (a packet is sent again later than anybody waits), reserves
-- nothing, either: nobody would ever give it back.
-- The buckets' clock is that of `enter.lua`.
local STEP = 10000
local DAY = 86400000
-- For which a bucket is kept: it is full again after a minute, but what was reserved of it may take longer.
local LONGEST = 3600000
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local token, characters, money = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local minute, day, places, budget = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local lease = tonumber(ARGV[8])

local function month_of(days)
  -- Days since 1970 to the Gregorian calendar's month, by Howard Hinnant's civil_from_days.
  local z = days + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local m = mp < 10 and mp + 3 or mp - 9
  return (yoe + era * 400 + (m <= 2 and 1 or 0)) * 12 + m
end

local today = math.floor(now / DAY)
local month = month_of(today)
local counts = redis.call('HMGET', KEYS[2], 'day', 'characters', 'month', 'money')
local spoken = tonumber(counts[1]) == today and tonumber(counts[2]) or 0
local spent = tonumber(counts[3]) == month and tonumber(counts[4]) or 0

local room = math.max(minute, 1)
local had = redis.call('HMGET', KEYS[1], 'since', 'used', 'ever')
local since, used, ever = tonumber(had[1] or now), tonumber(had[2] or 0), tonumber(had[3] or 0)
local refill = room / 6
local ticks = math.floor((now - since) / STEP)
if ticks > 0 then
  used = math.max(0, used - ticks * refill)
  since = since + ticks * STEP
end
if used <= 0 then since = now end
local left = minute < 0 and -1 or math.max(0, math.floor(room - used + 1e-6))

if redis.call('HEXISTS', KEYS[4], token) == 1 or redis.call('EXISTS', KEYS[5]) == 1 then
  return {'ok', 0, left, since + STEP - now}
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
if budget >= 0 and spent + money > budget then return {'budget', -1, left, since + STEP - now} end
if day >= 0 and spoken + characters > day then
  local ms = characters > day and -1 or (today + 1) * DAY - now
  return {'day', ms, left, since + STEP - now}
end
if minute >= 0 then
  if characters > room then return {'minute', -1, left, since + STEP - now} end
  if used + characters > room + 1e-6 then
    local wanted = math.ceil((used + characters - room) / refill - 1e-6)
    return {'minute', since + wanted * STEP - now, left, since + STEP - now}
  end
end
if places >= 0 and redis.call('ZCARD', KEYS[3]) >= places then return {'concurrent', -1, left, since + STEP - now} end

if minute >= 0 then
  used, ever = used + characters, ever + characters
  redis.call('HSET', KEYS[1], 'since', string.format('%d', since), 'used', string.format('%.6f', used),
    'ever', string.format('%d', ever))
  redis.call('PEXPIRE', KEYS[1], LONGEST)
  left = math.max(0, math.floor(room - used + 1e-6))
end
redis.call('HSET', KEYS[2], 'day', today, 'characters', spoken + characters, 'month', month,
  'money', string.format('%d', spent + money))
if places >= 0 then redis.call('ZADD', KEYS[3], now + lease, token) end
redis.call('HSET', KEYS[4], token, string.format('%d %d %d %d %d', characters, money, today, month, ever))
-- Of a process that was killed: what it had reserved stays charged, since it may have been spoken.
redis.call('PEXPIRE', KEYS[4], DAY)
return {'ok', 0, left, since + STEP - now}
