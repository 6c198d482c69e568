-- Break off the draft of a value that was deleted while it is made, whoever makes it: its token alone stays.
--
-- KEYS[1] draft
-- ARGV[1] channel of notices
--
-- Answers 1, or 0 when there is none, or it has ended. Takes no memory: a server that is full would refuse that.
local last = redis.call('LINDEX', KEYS[1], -1)
if not last or last == '.' or last == '!' then return 0 end
redis.call('LTRIM', KEYS[1], 0, 0)
redis.call('PUBLISH', ARGV[1], '')
return 1
