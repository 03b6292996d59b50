-- Check that the head and the history are ours; the holder of the lease tells the subscribers.
--
-- KEYS  1 head  2 beat
-- ARGV  1 channel  2 PUBLISH, or SPUBLISH in a cluster
--       3 c (hex)  4 center  5 now, ms  6 lease, ms  7 frame
-- The HSET is a write on purpose: a master that must not write (no replicas, no disk) refuses it,
-- so its clients fall silent instead of trusting it. PUBLISH alone would go through.
local head = redis.call('HMGET', KEYS[1], 'c', 'rid')
if not head[1] then return {'EMPTY'} end
local rid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
if head[2] ~= rid then return {'NEWHISTORY'} end
if head[1] ~= ARGV[3] then return {'CONFLICT'} end
redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local till, holder = string.match(redis.call('HGET', KEYS[2], 'lease') or '', '^(%d+) (.*)$')
if till and holder ~= ARGV[4] and tonumber(till) > now then return {'OK', '0'} end
redis.call('HSET', KEYS[2], 'lease', string.format('%.0f %s', now + ARGV[6], ARGV[4]))
redis.call(ARGV[2], ARGV[1], ARGV[7])
return {'OK', '1'}
