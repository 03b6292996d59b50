-- Begin a namespace: its head must not be there yet.
--
-- KEYS  1 head  2 log  3 ids  4 idt  5 beat
-- ARGV  1 channel  2 PUBLISH, or SPUBLISH in a cluster
--       3 e  4 v  5 c (hex)  6 id  7 req_hash  8 frame  9 now, ms
-- The beat is made here, before the first: a change names it too (keyspace.py says why).
if redis.call('EXISTS', KEYS[1]) == 1 then return {'CONFLICT'} end
local rid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
redis.call('XADD', KEYS[2], ARGV[3] .. '-' .. ARGV[4], 'r', ARGV[8], 't', ARGV[9])
redis.call('HSET', KEYS[1], 'e', ARGV[3], 'v', ARGV[4], 'c', ARGV[5], 'rid', rid, 'rec', ARGV[8])
redis.call('HSET', KEYS[3], ARGV[6], ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. ARGV[5] .. ' ' .. ARGV[7])
redis.call('ZADD', KEYS[4], ARGV[9], ARGV[6])
redis.call('HSET', KEYS[5], 'lease', '0 nobody')
redis.call(ARGV[2], ARGV[1], ARGV[8])
return {'OK'}
