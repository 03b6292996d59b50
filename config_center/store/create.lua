-- Begin a namespace: its head must not be there yet.
--
-- KEYS  1 head  2 log  3 ids  4 idt
-- ARGV  1 channel  2 e  3 v  4 c (hex)  5 id  6 req_hash  7 frame  8 now, ms
if redis.call('EXISTS', KEYS[1]) == 1 then return {'CONFLICT'} end
local rid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
redis.call('XADD', KEYS[2], ARGV[2] .. '-' .. ARGV[3], 'r', ARGV[7], 't', ARGV[8])
redis.call('HSET', KEYS[1], 'e', ARGV[2], 'v', ARGV[3], 'c', ARGV[4], 'rid', rid, 'rec', ARGV[7])
redis.call('HSET', KEYS[3], ARGV[5], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4] .. ' ' .. ARGV[6])
redis.call('ZADD', KEYS[4], ARGV[8], ARGV[5])
redis.call('PUBLISH', ARGV[1], ARGV[7])
return {'OK'}
