-- Begin, lengthen or renew the draft of a value that is being made, unless the draft of somebody else stands there.
--
-- KEYS[1] draft: a list of the maker's token, then "+..." for its head and each line, then "." or "!" at its end; the
--         token alone: it was withdrawn
-- ARGV[1] token   ARGV[2] lifetime, ms   ARGV[3] channel of notices
-- ARGV[4] how many elements are there already; 0: write it from the beginning   ARGV[5...] the elements behind them
--
-- Answers "kept"; "another" (somebody else's stands there and was not broken off); "withdrawn" (somebody else broke it
-- off, since what it is of was deleted); or "lost" (those that should be there already are not: write it from the
-- beginning). Repeating it does no harm.
local token = redis.call('LINDEX', KEYS[1], 0)
local withdrawn = redis.call('LLEN', KEYS[1]) == 1
if token and token ~= ARGV[1] then
  -- One that has ended well stays until it runs out: who has not read its last lines yet would be cut.
  if not withdrawn and redis.call('LINDEX', KEYS[1], -1) ~= '!' then return 'another' end
elseif withdrawn then
  return 'withdrawn'
end
local there = tonumber(ARGV[4])
if there == 0 then
  redis.call('DEL', KEYS[1])
elseif token ~= ARGV[1] or redis.call('LLEN', KEYS[1]) ~= there then
  return 'lost'
end
for position = 5, #ARGV do redis.call('RPUSH', KEYS[1], ARGV[position]) end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if #ARGV > 4 then redis.call('PUBLISH', ARGV[3], '') end
return 'kept'
