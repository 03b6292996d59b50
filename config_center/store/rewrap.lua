-- Exchange entries of the ring: each only while it is still the one that was read.
--
-- KEYS  1 ring  ARGV  for each entry: data-key id, what it was, what it becomes
-- Two centers may wrap anew at once, and one may shred what the other wraps: nothing that was taken
-- out comes back.
local exchanged = 0
for at = 1, #ARGV, 3 do
  if redis.call('HGET', KEYS[1], ARGV[at]) == ARGV[at + 1] then
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 2])
    exchanged = exchanged + 1
  end
end
return exchanged
