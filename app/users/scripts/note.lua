-- What a user has had of a day, added to what is known of it.
--
-- KEYS[1]  the user's day: a hash of counts by kind, voice and provider
-- ARGV     whose writing it is, the number of this writing; then fields and what is added to each
-- answers  1, or 0 where this writing has been added before: sent twice, it counts once
--
-- A writer has one writing on its way to a day at a time, so that the last one's number tells all.
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
for at = 3, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[at], ARGV[at + 1]) end
return 1
