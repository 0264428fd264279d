-- Gives two things at once.
return function(hunt)
  hunt.award("sword")
  hunt.award("shield")
end
