-- Commit contiguous records of one namespace: together or not at all.
--
-- KEYS  1 head  2 log  3 cur  4 ids  5 idt  6 dig  7 want
-- ARGV  1 channel  2 expected e  3 expected v  4 expected c (hex)  5 adopt "1"|"0"
--       6 now, ms  7 log: keep at least N  8 ids older than this (ms) may go
--       9 who asks  10 number of records; then for each record:
--         e v c id req_hash frame head-frame notice  number-of-rows, then (key, row) each,
--         number-of-buckets, then (index, hash) each
-- Who loses against another head leaves word in `want`; who wins while somebody else wants hears it.
-- An empty id or notice is skipped. Order of the checks: docs/protocol.md, section "Scripts".
-- XADD comes first: it alone may refuse (an id that is not larger), and what a script did before
-- it raised stays done.
local head = redis.call('HMGET', KEYS[1], 'e', 'v', 'c', 'rid')
if not head[1] then return {'EMPTY'} end
local rid = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
local adopt = ARGV[5] == '1'
if not adopt and head[4] ~= rid then return {'NEWHISTORY'} end

local at = 11
local records = {}
for i = 1, tonumber(ARGV[10]) do
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

if head[1] ~= ARGV[2] or head[2] ~= ARGV[3] or head[3] ~= ARGV[4] then
  redis.call('SET', KEYS[7], ARGV[9], 'PX', 1000)
  return {'CONFLICT'}
end
if adopt and tonumber(records[1].e) <= tonumber(head[1]) then return {'CONFLICT'} end

for _, record in ipairs(records) do
  redis.call('XADD', KEYS[2], record.e .. '-' .. record.v, 'r', record.frame, 't', ARGV[6])
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
    redis.call('ZADD', KEYS[5], ARGV[6], record.id)
  end
end
local last = records[#records]
redis.call('HSET', KEYS[1], 'e', last.e, 'v', last.v, 'c', last.c, 'rid', rid, 'rec', last.rec)

local old = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', ARGV[8], 'LIMIT', 0, 20)
for _, id in ipairs(old) do
  redis.call('HDEL', KEYS[4], id)
  redis.call('ZREM', KEYS[5], id)
end
for _, record in ipairs(records) do
  if record.notice ~= '' then redis.call('PUBLISH', ARGV[1], record.notice) end
end
local wants = redis.call('GET', KEYS[7])
if wants == ARGV[9] then
  redis.call('DEL', KEYS[7])
elseif wants then
  return {'OK', wants}
end
return {'OK'}
