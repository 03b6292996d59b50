-- Commit contiguous records of one namespace: together or not at all.
--
-- KEYS  1 head  2 log  3 cur  4 ids  5 idt  6 dig  7 beat
-- ARGV  1 channel  2 PUBLISH, or SPUBLISH in a cluster
--       3 expected e  4 expected v  5 expected c (hex)  6 adopt "1"|"0"
--       7 now, ms  8 log: keep at least N  9 ids older than this (ms) may go
--       10 who asks  11 number of records; then for each record:
--         e v c id req_hash frame head-frame notice  number-of-rows, then (key, row) each,
--         number-of-buckets, then (index, hash) each
-- Who loses against another head leaves word in the field `want` of the beat, for a second; who wins
-- while somebody else wants hears it.
-- An empty id or notice is skipped. Order of the checks: docs/protocol.md, section "Scripts".
-- XADD comes first: it alone may refuse (an id that is not larger), and what a script did before
-- it raised stays done.
local function now()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

local head = redis.call('HMGET', KEYS[1], 'e', 'v', 'c', 'rid')
if not head[1] then return {'EMPTY'} end
local rid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
local adopt = ARGV[6] == '1'
if not adopt and head[4] ~= rid then return {'NEWHISTORY'} end
local till, wants = string.match(redis.call('HGET', KEYS[7], 'want') or '', '^(%d+) (.*)$')

local at = 12
local records = {}
for i = 1, tonumber(ARGV[11]) do
  local record = {e = ARGV[at], v = ARGV[at + 1], c = ARGV[at + 2], id = ARGV[at + 3],
    req = ARGV[at + 4], frame = ARGV[at + 5], rec = ARGV[at + 6], notice = ARGV[at + 7]}
  local rows = tonumber(ARGV[at + 8])
  record.rows_at, record.rows = at + 9, rows
  at = at + 9 + 2 * rows
  local buckets = tonumber(ARGV[at])
  record.buckets_at, record.buckets = at + 1, buckets
  at = at + 1 + 2 * buckets
  records[i] = record
  if not adopt and record.id ~= '' and redis.call('HEXISTS', KEYS[4], record.id) == 1 then
    return {'DUP', record.id}
  end
end

if head[1] ~= ARGV[3] or head[2] ~= ARGV[4] or head[3] ~= ARGV[5] then
  redis.call('HSET', KEYS[7], 'want', string.format('%.0f %s', now() + 1000, ARGV[10]))
  return {'CONFLICT'}
end
if adopt and tonumber(records[1].e) <= tonumber(head[1]) then return {'CONFLICT'} end

for _, record in ipairs(records) do
  redis.call('XADD', KEYS[2], record.e .. '-' .. record.v, 'r', record.frame, 't', ARGV[7])
end
for _, record in ipairs(records) do
  for j = 0, record.rows - 1 do
    redis.call('HSET', KEYS[3], ARGV[record.rows_at + 2 * j], ARGV[record.rows_at + 2 * j + 1])
  end
  for j = 0, record.buckets - 1 do
    redis.call('HSET', KEYS[6], ARGV[record.buckets_at + 2 * j], ARGV[record.buckets_at + 2 * j + 1])
  end
  if record.id ~= '' then
    redis.call('HSET', KEYS[4], record.id,
      record.e .. ' ' .. record.v .. ' ' .. record.c .. ' ' .. record.req)
    redis.call('ZADD', KEYS[5], ARGV[7], record.id)
  end
end
local last = records[#records]
redis.call('HSET', KEYS[1], 'e', last.e, 'v', last.v, 'c', last.c, 'rid', rid, 'rec', last.rec)

local old = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', ARGV[9], 'LIMIT', 0, 20)
for _, id in ipairs(old) do
  redis.call('HDEL', KEYS[4], id)
  redis.call('ZREM', KEYS[5], id)
end
for _, record in ipairs(records) do
  if record.notice ~= '' then redis.call(ARGV[2], ARGV[1], record.notice) end
end
if till and wants ~= ARGV[10] and tonumber(till) > now() then return {'OK', wants} end
if till then redis.call('HDEL', KEYS[7], 'want') end
return {'OK'}
