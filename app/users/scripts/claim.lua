-- One execution of what is sent under one Idempotency-Key.
--
-- KEYS[1]  the key of a user
-- ARGV     hash of the request, its lifetime in ms, who asks (a token); then what for:
--          'begin', an id, ms for which whoever is first has it to himself (0: others may carry it out, too)
--          'renew', those ms: he is still at it
--          'done', the answer
--          'leave': he has broken off, and how far he had come nobody knows
--          'free': it was not carried out; the key is as if it had never been sent
-- answers  {how it stands, id, answer}; how: 'first' (to be carried out by who asks), 'again' (sent before, maybe it is
--          being carried out), 'done' (it was), 'other' (sent with another request)
--
-- The id is that of the first who began, and stays for all who carry it out after him: under it nothing is made twice.
-- Asked again with the same token, where the answer was lost, 'begin' answers as before.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local kept = redis.call('HMGET', KEYS[1], 'body', 'done', 'id', 'by', 'until', 'answer')
local body, done, id, by = kept[1], kept[2] == '1', kept[3] or '', kept[4]
local wish = ARGV[4]
if not body then
  if wish ~= 'begin' then return {'again', '', ''} end
  redis.call('HSET', KEYS[1], 'body', ARGV[1], 'done', '0', 'id', ARGV[5], 'by', ARGV[3], 'until', now + ARGV[6])
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return {'first', ARGV[5], ''}
end
if body ~= ARGV[1] then return {'other', '', ''} end
if done then return {'done', id, kept[6] or ''} end
local own = by == ARGV[3]
if wish == 'begin' then
  if own then return {'first', id, ''} end
  if tonumber(ARGV[6]) > 0 and tonumber(kept[5]) <= now then
    redis.call('HSET', KEYS[1], 'by', ARGV[3], 'until', now + ARGV[6])
    return {'first', id, ''}
  end
elseif wish == 'done' then
  redis.call('HSET', KEYS[1], 'done', '1', 'answer', ARGV[5])
  return {'done', id, ARGV[5]}
elseif own and wish == 'renew' then
  redis.call('HSET', KEYS[1], 'until', now + ARGV[5])
elseif own and wish == 'leave' then
  redis.call('HSET', KEYS[1], 'until', 0, 'by', '')
elseif own and wish == 'free' then
  redis.call('DEL', KEYS[1])
end
return {'again', id, ''}
