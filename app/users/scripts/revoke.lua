-- Whoever is meant by a member is refused, if he was let in until now. By Redis' own clock: with that of the machine
-- that somebody types at, a minute slow, all that was issued in this minute would stay good.
--
-- KEYS[1]  who is revoked, and since when (seconds)
-- ARGV     the member, and seconds after which it is of no more use
-- answers  1
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
-- GT: after a fail-over Redis' clock may be another, and a second revocation must not undo the first.
redis.call('ZADD', KEYS[1], 'GT', string.format('%.6f', now), ARGV[1])
return 1
