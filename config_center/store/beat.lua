-- Check that the head and the history are ours; the holder of the lease tells the subscribers.
--
-- KEYS  1 head  2 beat  3 lease
-- ARGV  1 channel  2 c (hex)  3 center  4 now, ms  5 lease, ms  6 frame
-- The HSET is a write on purpose: a master that must not write (no replicas, no disk) refuses it,
-- so its clients fall silent instead of trusting it. PUBLISH alone would go through.
local head = redis.call('HMGET', KEYS[1], 'c', 'rid')
if not head[1] then return {'EMPTY'} end
local rid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
if head[2] ~= rid then return {'NEWHISTORY'} end
if head[1] ~= ARGV[2] then return {'CONFLICT'} end
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
local holder = redis.call('GET', KEYS[3])
if holder and holder ~= ARGV[3] then return {'OK', '0'} end
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[5])
redis.call('PUBLISH', ARGV[1], ARGV[6])
return {'OK', '1'}
