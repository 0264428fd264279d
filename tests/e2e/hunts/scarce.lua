-- A shared supply of 40; a script that is refused one gives a consolation instead.
return function(hunt)
  local given, why = hunt.award("relic", { limit = 40 })
  if not given then
    hunt.award("pebble")
    return { why = why }
  end
  return { relic = true }
end
