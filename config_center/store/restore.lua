-- Put back a namespace that was lost: there must be no head, or the one of a namespace that was begun
-- anew, which is named. What is left of it goes.
--
-- What it needs was written in many commands before, the hashes first, the rows last. A server that
-- restarted or failed over since has another replication id, one that was emptied has no hashes any
-- more: then some of it may be gone, and a namespace with a head but not all rows would be the worst.
--
-- KEYS  1 head  2 log  3 cur  4 dig  5 ids  6 idt  7 the rows beside cur  8 the hashes beside dig
-- ARGV  1 channel  2 PUBLISH, or SPUBLISH in a cluster
--       3 e  4 v  5 c (hex)  6 frame  7 now, ms  8 replication id when the first was written
--       9 '1' when there are rows  10 c (hex) of the head that may go, or ''
--       then (change id, line of ids) each
local head = redis.call('HGET', KEYS[1], 'c')
if head and head ~= ARGV[10] then return {'CONFLICT'} end
local rid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
if rid ~= ARGV[8] then return {'UNPREPARED'} end
if ARGV[9] == '1' and redis.call('EXISTS', KEYS[7], KEYS[8]) < 2 then return {'UNPREPARED'} end
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6])
redis.call('XADD', KEYS[2], ARGV[3] .. '-' .. ARGV[4], 'r', ARGV[6], 't', ARGV[7])
if ARGV[9] == '1' then
  redis.call('RENAME', KEYS[7], KEYS[3])
  redis.call('RENAME', KEYS[8], KEYS[4])
end
for i = 11, #ARGV, 2 do
  redis.call('HSET', KEYS[5], ARGV[i], ARGV[i + 1])
  redis.call('ZADD', KEYS[6], ARGV[7], ARGV[i])
end
redis.call('HSET', KEYS[1], 'e', ARGV[3], 'v', ARGV[4], 'c', ARGV[5], 'rid', rid, 'rec', ARGV[6])
redis.call(ARGV[2], ARGV[1], ARGV[6])
return {'OK'}
