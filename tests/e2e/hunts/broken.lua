-- Fails after its award.
return function(hunt)
  hunt.award("never")
  error("the artist tripped")
end
