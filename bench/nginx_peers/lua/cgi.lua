#!/usr/bin/luajit
-- SPDX-License-Identifier: Apache-2.0
-- The same hunts as a CGI program: a process a request, a dynamic LuaJIT, a connection to Redis of its own.
local directory = arg[0]:match("^(.*)/[^/]*$")
package.path = directory .. "/?.lua;" .. package.path

local answers = require "answers"
local connect = require "redis_client"
local hunt = require "hunt"
local service = require "service"
local settings = require "settings"
local socket = require "socket.core"

local function random_id()
  local file = assert(io.open("/dev/urandom", "rb"))
  file:setvbuf("no")
  local bytes = file:read(16)
  file:close()
  return (bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
end

local function read_body()
  local size = tonumber(os.getenv("CONTENT_LENGTH") or "") or 0
  return size > 0 and io.read(size) or nil
end

local function handle()
  local path = os.getenv("DOCUMENT_URI")
  local hunt_id, hunter_id = service.read_path(path)
  if not hunt_id then return answers.problem("no-such-route", path) end
  local known = false
  for _, name in ipairs(settings.hunts) do known = known or name == hunt_id end
  local hunts = known and { [hunt_id] = hunt.load(directory .. "/hunts/" .. hunt_id .. ".lua") } or {}
  local redis, why = connect("127.0.0.1", settings.redis_port, settings.redis_timeout_ms / 1000)
  if not redis then return answers.problem("redis-unavailable", why) end
  return service.handle(redis, hunts, {
    hunt_id = hunt_id, hunter_id = hunter_id, request_id = random_id(), key = os.getenv("HTTP_IDEMPOTENCY_KEY"),
    body = read_body(), now_ms = math.floor(socket.gettime() * 1000), log = function(text) io.stderr:write(text, "\n") end })
end

local status, body, content_type = handle()
io.write("Status: ", status, "\r\nContent-Type: ", content_type, "\r\nHunt-Bundle: ", settings.bundle, "\r\n\r\n", body)
