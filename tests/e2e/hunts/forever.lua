-- Never ends.
return function(hunt)
  hunt.award("never")
  while true do end
end
