-- One execution of what is sent under one Idempotency-Key.
--
-- KEYS[1]  the key of a user
-- ARGV     hash of the body, lifetime in ms, '0': how does it stand? '1': it has been carried out, '-1': it has failed
-- answers  'first', 'again' (sent before; maybe it is being carried out), 'done' (carried out), 'other' (another body)
local kept = redis.call('HMGET', KEYS[1], 'body', 'done')
if ARGV[3] == '-1' then
  if kept[1] == ARGV[1] and kept[2] ~= '1' then redis.call('DEL', KEYS[1]) end
  return 'again'
end
if not kept[1] then
  redis.call('HSET', KEYS[1], 'body', ARGV[1], 'done', ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 'first'
end
if kept[1] ~= ARGV[1] then return 'other' end
if ARGV[3] == '1' then redis.call('HSET', KEYS[1], 'done', '1') end
return kept[2] == '1' and 'done' or 'again'
