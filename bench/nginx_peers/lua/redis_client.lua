-- SPDX-License-Identifier: Apache-2.0
-- The least Redis client that the CGI program needs: one connection, one command at a time, RESP2.
local socket = require "socket.core"

local Client = {}
Client.__index = Client

local function read_reply(connection)
  local line, why = connection:receive("*l")
  if not line then return nil, why end
  local kind, rest = line:sub(1, 1), line:sub(2)
  if kind == "+" then return rest end
  if kind == ":" then return tonumber(rest) end
  if kind == "-" then return nil, rest end
  local size = tonumber(rest)
  if size < 0 then return false end
  if kind == "$" then
    local text, failure = connection:receive(size + 2)
    if not text then return nil, failure end
    return text:sub(1, size)
  end
  local list = {}
  for i = 1, size do list[i] = read_reply(connection) end
  return list
end

function Client:call(...)
  local words = { ... }
  local parts = { "*" .. #words .. "\r\n" }
  for _, word in ipairs(words) do
    word = tostring(word)
    parts[#parts + 1] = "$" .. #word .. "\r\n" .. word .. "\r\n"
  end
  local sent, why = self.connection:send(table.concat(parts))
  if not sent then return nil, why end
  return read_reply(self.connection)
end

function Client:evalsha(...) return self:call("EVALSHA", ...) end
function Client:hgetall(...) return self:call("HGETALL", ...) end

-- The client; or nil and why.
return function(host, port, timeout_s)
  local connection, why = socket.tcp()
  if not connection then return nil, why end
  connection:settimeout(timeout_s)
  local up, failure = connection:connect(host, port)
  if not up then return nil, failure end
  connection:setoption("tcp-nodelay", true)
  return setmetatable({ connection = connection }, Client)
end
