-- SPDX-License-Identifier: Apache-2.0
-- The least Postgres client that the stand-in needs, over nginx's cosockets: protocol 3.0, no password, simple queries whose
-- rows are never read.
local bit = require "bit"

local Client = {}
Client.__index = Client

local function int32(n)
  return string.char(bit.band(bit.rshift(n, 24), 255), bit.band(bit.rshift(n, 16), 255), bit.band(bit.rshift(n, 8), 255),
                     bit.band(n, 255))
end

-- Reads messages up to ReadyForQuery. true; or nil and the first error's message.
local function until_ready(socket)
  local failure
  while true do
    local head, why = socket:receive(5)
    if not head then return nil, why end
    local a, b, c, d = head:byte(2, 5)
    local size = ((a * 256 + b) * 256 + c) * 256 + d - 4
    local payload = ""
    if size > 0 then
      payload, why = socket:receive(size)
      if not payload then return nil, why end
    end
    local kind = head:sub(1, 1)
    if kind == "E" then failure = failure or payload:match("M([^%z]*)%z") or "error" end
    if kind == "R" and payload ~= "\0\0\0\0" then return nil, "Postgres asks for a password" end
    if kind == "Z" then
      if failure then return nil, failure end
      return true
    end
  end
end

function Client:query(statement)
  local sent, why = self.socket:send("Q" .. int32(#statement + 5) .. statement .. "\0")
  if not sent then return nil, why end
  return until_ready(self.socket)
end

-- Back into the pool.
function Client:release(idle_ms) return self.socket:setkeepalive(idle_ms) end
function Client:close() return self.socket:close() end

-- A connection from the pool, or a new one where the pool has room; waits in the pool's backlog else.
return function(settings)
  local socket = ngx.socket.tcp()
  socket:settimeout(settings.wait_ms)
  local up, why = socket:connect("127.0.0.1", settings.port, settings.pool)
  if not up then return nil, why end
  if socket:getreusedtimes() == 0 then
    local parameters = "user\0" .. settings.user .. "\0database\0" .. settings.database .. "\0\0"
    socket:send(int32(#parameters + 8) .. int32(196608) .. parameters)
    up, why = until_ready(socket)
    if not up then
      socket:close()
      return nil, why
    end
  end
  return setmetatable({ socket = socket }, Client)
end
