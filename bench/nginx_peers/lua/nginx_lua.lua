-- SPDX-License-Identifier: Apache-2.0
-- The hunts on nginx's Lua module: each request one light thread, each worker a pool of connections to Redis.
local answers = require "answers"
local nginx_request = require "nginx_request"
local redis_client = require "nginx.redis"  -- lua-resty-redis, by the name that Debian gives it
local service = require "service"
local settings = require "settings"

local hunts = nginx_request.load_hunts()
local IDLE_MS = 60000

local function handle(request)
  local redis = redis_client:new()
  redis:set_timeout(settings.redis_timeout_ms)
  local up, why = redis:connect("127.0.0.1", settings.redis_port, settings.redis_pool)
  if not up then return answers.problem("redis-unavailable", why) end
  local status, body, content_type = service.handle(redis, hunts, request)
  redis:set_keepalive(IDLE_MS)
  return status, body, content_type
end

return function()
  local request = nginx_request.read()
  if request then nginx_request.answer(handle(request)) else nginx_request.answer(answers.problem("no-such-route", ngx.var.uri)) end
end
