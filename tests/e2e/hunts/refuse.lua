-- Says no.
return function(hunt)
  hunt.award("never")
  hunt.reject("not today")
end
