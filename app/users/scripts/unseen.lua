-- Who has not been seen for so long that his usage is over, by Redis' own clock: one process' may be years ahead.
--
-- KEYS[1]  users, each with the last day on which he was seen (days since 1970)
-- ARGV     for how many days usage is kept
-- answers  {today; users and their last days, one behind the other}
local today = math.floor(redis.call('TIME')[1] / 86400)
return {today, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', today - ARGV[1] - 1, 'WITHSCORES')}
