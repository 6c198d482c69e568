-- Break off the draft of a value that was deleted while it is made, whoever makes it.
--
-- KEYS[1] draft
-- ARGV[1] channel of notices
--
-- Answers 1, or 0 when there is none, or it has ended.
local last = redis.call('LINDEX', KEYS[1], -1)
if not last or last == '.' or last == '!' then return 0 end
-- Out of memory, RPUSH fails while DEL works: then who follows is cut since it has gone.
local answer = redis.pcall('RPUSH', KEYS[1], '!')
if type(answer) == 'table' and answer.err then redis.call('DEL', KEYS[1]) end
redis.call('PUBLISH', ARGV[1], '')
return 1
