-- Remove what nobody wrote or read for a while.
--
-- KEYS  bodies, or what restores made ready  ARGV  1 seconds
-- Whoever asks has read that nothing names these bodies. A commit writes its bodies anew before it
-- names them, so one that is named since is young; both are looked at in one step here.
local gone = 0
for _, name in ipairs(KEYS) do
  local idle = redis.call('OBJECT', 'IDLETIME', name)
  if idle and idle >= tonumber(ARGV[1]) then gone = gone + redis.call('UNLINK', name) end
end
return gone
