-- SPDX-License-Identifier: Apache-2.0
-- The request that nginx's Lua module is handling, for service.lua and for bench/veltrix.
local hunt = require "hunt"
local service = require "service"
local settings = require "settings"

local nginx_request = {}

-- Every hunt, compiled once for each nginx worker.
function nginx_request.load_hunts()
  local hunts = {}
  for _, name in ipairs(settings.hunts) do hunts[name] = hunt.load(settings.directory .. "/hunts/" .. name .. ".lua") end
  return hunts
end

local function log(text) ngx.log(ngx.WARN, text) end

-- nil if the path is not a hunt.
function nginx_request.read()
  local hunt_id, hunter_id = service.read_path(ngx.var.uri)
  if not hunt_id then return nil end
  ngx.req.read_body()
  return { hunt_id = hunt_id, hunter_id = hunter_id, request_id = ngx.var.request_id, key = ngx.var.http_idempotency_key,
           body = ngx.req.get_body_data(), now_ms = ngx.now() * 1000, log = log }
end

function nginx_request.answer(status, body, content_type)
  ngx.status = status
  ngx.header["Content-Type"] = content_type
  ngx.header["Hunt-Bundle"] = settings.bundle
  ngx.header["Content-Length"] = #body
  ngx.print(body)
end

return nginx_request
