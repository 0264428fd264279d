// SPDX-License-Identifier: Apache-2.0
// What beginners write, and what they are advised to do.
#include "check/check_of.h"

#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::test;

namespace {

struct Mistake {
  const char* body;      // of a hunt; its first line is line 2
  const char* expected;  // text_of() of the findings
};

constexpr Mistake mistakes[] = {
    {R"(  if hunt.now = 3 then
    hunt.award("gold")
  end)",
     "2:15 one-equals: \"=\" sets a value; it does not compare; to compare, write =="},
    {R"(  if hunt.id != "x" then hunt.award("gold") end)",
     "2:14 not-equal: != does not exist in Lua; for \"is not equal\", write ~="},
    {R"(  local n = 0
  n += 1)",
     "3:5 compound-assign: += does not exist in Lua; write n = n + ..."},
    {R"(  local n = 0
  n++)",
     "3:4 increment: ++ does not exist in Lua; to add one, write n = n + 1"},
    {R"(  local n = 0
  n--)",
     "3:4 increment: \"--\" begins a comment in Lua; to subtract one, write n = n - 1"},
    {R"(  if hunt.id == "a" && hunt.now > 3 then hunt.award("gold") end)",
     "2:21 and-or-not: && does not exist in Lua; write the word and"},
    {R"(  if hunt.id == "a" || !hunt.input then hunt.award("gold") end)",
     "2:21 and-or-not: || does not exist in Lua; write the word or\n"
     "2:24 and-or-not: ! does not exist in Lua; write the word not"},
    {R"(  if hunt.id == "a" then
    hunt.award("a")
  else if hunt.id == "b" then
    hunt.award("b")
  end)",
     "4:3 else-if: \"else if\" begins a second \"if\", which needs an \"end\" of its own; "
     "write elseif, as one word"},
    {R"(  hunt.award(“gold”))",
     "2:14 curly-quote: this is a curly quote, which Lua does not know; type \" on the keyboard"},
    {R"(  hunt.award("gold”))",
     "2:19 curly-quote: this text begins with \" and ends with a curly quote; type \" on the "
     "keyboard; a word processor changes it"},
    {R"(  // give the gold
  hunt.award("gold"))",
     "2:3 comment: // does not begin a comment in Lua; a comment begins with --; to divide and "
     "round down, write math.floor(a / b)"},
    {R"(  /* give
     the gold */
  hunt.award("gold"))",
     "2:3 comment: /* does not begin a comment in Lua; write --[[ before the comment and ]] "
     "behind it"},
    {R"(  if hunt.id == "a"
    hunt.award("gold")
  end)",
     "2:20 missing-then: the \"then\" of this \"if\" is missing; write then here"},
    {R"(  for i = 1, 3
    hunt.award("gold")
  end)",
     "2:15 missing-do: the \"do\" of this \"for\" is missing; write do here"},
    {R"(  while hunt.random(2) == 1
    hunt.award("gold")
  end)",
     "2:28 missing-do: the \"do\" of this \"while\" is missing; write do here"},
    {R"(  local t = { "a" "b" }
  hunt.award(t[1]))",
     "2:18 missing-comma: a comma is missing behind this entry of the table; write a comma here"},
    {R"(  local t = {
    { name = "a", weight = 1 }
    { name = "b", weight = 1 },
  }
  hunt.award(t[1].name))",
     "3:31 missing-comma: a comma is missing behind this entry of the table; write a comma here"},
    {R"(  local t = { a = 1, b = 2 c = 3 }
  return t)",
     "2:27 missing-comma: a comma is missing behind this entry of the table; write a comma here"},
    {R"(  hunt.award("gold))",
     "2:14 unfinished-text: the text that begins here has no end; write \" at the end of the "
     "text, in the same line"},
    {R"(  hunt.log('don't do it'))",
     "2:24 unfinished-text: this ' begins a text that has no end; a text with ' in it is "
     "written in double quotes: \"don't\""},
    {R"(  local lucky = hunt.random(2) == 1
  if lucky then
    hunt.award("gold")
  return { lucky = lucky })",
     "3:3 missing-end: this \"if\" has no \"end\"; write end on a line of its own before line 5"},
    {R"(  for i = 1, 3 do
    if hunt.random(2) == 1 then
      hunt.award("gold")
  end
  return 3)",
     "3:5 missing-end: this \"if\" has no \"end\"; write end on a line of its own before line 5"},
    {R"(  local function give(id)
    hunt.award(id)
  give("gold"))",
     "2:9 missing-end: this \"function\" has no \"end\"; write end on a line of its own before "
     "line 4"},
    {R"(  hunt.award("gold")
  end
  hunt.award("wood"))",
     "3:3 extra-end: this \"end\" ends the function of the hunt, but more lines follow; remove "
     "it, or look above for an \"end\" that is one too many"},
    {R"(  hunt.awrad("gold"))",
     "2:8 unknown-hunt-name: hunt.awrad does not exist; did you mean hunt.award?"},
    {R"(  hunt.give("gold"))",
     "2:8 unknown-hunt-name: hunt.give does not exist; did you mean hunt.award?"},
    {R"(  hunt:award("gold"))",
     "2:8 colon: hunt:award needs a dot in place of the colon; write hunt.award"},
    {R"(  if hunt.held.gold then hunt.award("silver") end)",
     "2:11 function-as-value: hunt.held is a function, and is not called here; write "
     "hunt.held().gold"},
    {R"(  local held = hunt.held
  if held.gold then hunt.award("silver") end)",
     "3:6 function-as-value: held is a function, and is not called here; write held().gold"},
    {R"(  if hunt.held().iron >= 3 then hunt.award("sword") end)",
     "2:6 warning maybe-nil: hunt.held().iron is nil, and not 0, if the hunter has none; write "
     "(hunt.held().iron or 0)"},
    {R"(  local held = hunt.held()
  local iron = held["iron"]
  hunt.award("x" .. iron + 1))",
     "4:21 warning maybe-nil: iron is nil, and not 0, if the hunter has none; write (iron or 0)"},
    {R"(  hunt.award(7))",
     "2:14 arguments: a loot_id is a text, not a number; write \"7\" in quotes"},
    {R"(  hunt.award())",
     "2:13 arguments: hunt.award does not say which loot; write the loot_id in quotes, as in "
     "hunt.award(\"gold\")"},
    {R"(  hunt.award("gold", { limt = 3 }))",
     "2:24 option: hunt.award has no option limt; did you mean limit? It is written {limit = "
     "100}"},
    {R"(  hunt.award("gold", 3))",
     "2:22 option: the limit is a number, not in a table; write {limit = 3}"},
    {R"(  hunt.award("gold", limit = 3))",
     "2:28 named-argument: \"=\" cannot be used here, between ( and ); put it between { and }, "
     "as in {limit = 100}; to compare, write =="},
    {R"(  hunt.award("gold", { limit = "3" }))",
     "2:32 option: a limit is a whole number from 0 to 1000000000; write it without quotes, as "
     "in {limit = 100}"},
    {R"(  hunt.award("gold coin"))",
     "2:14 loot-id: \"gold coin\" cannot be a loot_id; a loot_id is 1 to 64 of A-Z a-z 0-9 _ . "
     "-: write \"gold-coin\""},
    {R"(  local day = hunt.now())",
     "2:20 not-a-function: hunt.now is a value and cannot be called; write hunt.now without ()"},
    {R"(  local day = os.time())",
     "2:15 not-in-hunts: os is not known here; a hunt cannot use the system; the time is "
     "hunt.now"},
    {R"(  print("hello"))",
     "2:3 not-in-hunts: print is not known here; use hunt.log(...), which writes into the log "
     "of huntd"},
    {R"(  local r = math.random(3))",
     "2:18 unknown-field: math.random does not exist in hunts; use hunt.random, which a run "
     "can repeat"},
    {R"(  streak = 1
  return streak)",
     "2:3 warning global-set: \"local\" is missing before streak; write local streak the first "
     "time it gets a value"},
    {R"(  local streak = 1
  strek = streak + 1
  return streak)",
     "3:3 warning global-set: strek gets a value here, but there is no \"local strek\"; did "
     "you mean streak? If it is a new variable, write local before it"},
    {R"(  local streak = 1
  return { streak = straek })",
     "3:21 warning unknown-name: straek is not known here; did you mean streak?"},
    {R"(  hunt.award(gold))",
     "2:14 unknown-name: gold is not known here; if it is a text, write \"gold\" in quotes; if "
     "it is a variable, write local gold = ... above"},
    {R"(  if hunt.random(2) == 1 then
    local prize = "gold"
  end
  hunt.award(prize))",
     "5:14 out-of-scope: prize is not known here; the prize of line 3 is known only in its own "
     "block, and below its line: write \"local prize\" above that block"},
    {R"(  for loot_id in hunt.held() do hunt.log(loot_id) end)",
     "2:18 pairs: \"for\" cannot go through a table by itself; write pairs(hunt.held())"},
    {R"(  for loot_id in pairs(hunt.held) do hunt.log(loot_id) end)",
     "2:29 function-as-value: hunt.held is a function, and is not called here; write "
     "hunt.held()"},
    {R"(  hunt.log("you have " + 3))",
     "2:12 text-arithmetic: + is for numbers, and this is a text; to join texts, write .."},
    {R"(  local s = "you have " hunt.id)",
     "2:25 missing-operator: two values follow each other; to join texts, write .. between "
     "them; to list values, a comma"},
    {R"(  hunt.award)",
     "2:3 no-statement: hunt.award alone does nothing; to call it, write hunt.award(); to set "
     "it, write hunt.award = ..."},
    {R"(  local x == 3)",
     "2:11 two-equals: \"==\" compares; it does not set a value; to set a value, write ="},
    {R"(  var x = 3)",
     "2:3 not-lua: Lua does not know the word var here; to make a variable, write local and "
     "its name"},
    {R"(  locla x = 3)",
     "2:3 misspelt-word: Lua does not know the word locla here; did you mean local?"},
    {R"(  function(x) return x end)",
     "2:11 function-name: this function has no name; write a name before the (, as in function "
     "give(hunt)"},
    {R"(  if hunt.now > 3 {
    hunt.award("gold")
  })",
     "2:19 braces: Lua does not put the lines of a block between { and }; write then in place "
     "of { and end in place of }"},
    {R"(  for (i = 0; i < 3; i++) { hunt.award("gold") })",
     "2:7 for: Lua does not count like this; write for i = 1, 10 do"},
    {R"(  if hunt.now > 3:
    hunt.award("gold"))",
     "2:3 missing-end: this \"if\" has no \"end\"; write end on a line of its own before line 4\n"
     "2:18 missing-then: \"if\" goes on with \"then\", not with \":\"; write then"},
    {R"(  local t = { "a": 1 })",
     "2:15 table-key: a key in quotes has to be in [ ]; write [\"a\"] = value"},
    {R"(  local t = { a: 1 })",
     "2:16 table-key: a field of a table gets its value with \"=\"; write = in place of the "
     "colon"},
    {R"(  local t = { 1, 2
  hunt.award("gold"))",
     "2:13 not-closed: this { is not closed; write } behind the last entry"},
    {R"(  hunt.award("gold"
  hunt.award("wood"))",
     "2:13 not-closed: this ( is not closed; write ) behind the last value"},
    {R"(  local x = hunt.now > 3 ? "a" : "b")",
     "2:26 not-lua: Lua has no ? and :; write condition and value or other"},
    {R"(  if hunt.now > 3 then hunt.award("gold") elif hunt.now > 2 then hunt.award("x") end)",
     "2:43 not-lua: Lua does not know the word elif here; write elseif, as one word"},
    {R"(  return hunt.date("Europe/Paris ").day)",
     "2:20 time-zone: there is no time zone \"Europe/Paris \"; did you mean Europe/Paris?"},
    {R"(  return hunt.date(1).day)",
     "2:20 arguments: a time zone is a text, not a number; write it as in "
     "hunt.date(\"Europe/Berlin\")"},
    {R"(  hunt.award(hunt.pick{ {loot_id = "gold"} }.loot_id))",
     "2:25 weight: this line has no weight; write weight = 1, or how often it is"},
    {R"(  hunt.award(hunt.pick("gold")))",
     "2:23 arguments: hunt.pick takes one list; write a list such as { {loot_id = \"gold\", weight "
     "= 1}, {loot_id = \"iron\", weight = 9} }"},
    {R"(  local config = hunt.config
  config.gold = 3)",
     "3:3 read-only: hunt.config is read-only; keep the value in a local variable"},
    {R"(  local sums = require("sums")
  return sums.double(2))",
     "2:16 require: a module is loaded at the top of a script, not while it runs; write local sums "
     "= require(\"sums\") before the function"},
    {R"(  hunt.random("6"))",
     "2:15 arguments: hunt.random takes numbers, and this is a text; write hunt.random(6) for "
     "a number from 1 to 6, or hunt.random(10, 20)"},
    {R"(  hunt.random(5, 1))",
     "2:15 arguments: the first number is greater than the second; write hunt.random(6) for a "
     "number from 1 to 6, or hunt.random(10, 20)"},
    {R"(  hunt.reject(7))",
     "2:15 arguments: a reason is a text, not a number; write \"7\" in quotes"},
    {R"(  hunt.held("gold"))",
     "2:13 arguments: hunt.held takes nothing between ( and ); write hunt.held()[\"gold\"]"},
    {R"(  hunt.log(string.uper("x")))",
     "2:19 unknown-field: string.uper does not exist in hunts; did you mean string.upper?"},
    {R"(  local a = null
  return a)",
     "2:13 warning not-in-hunts: null is not known here; write nil; null in the input of a request "
     "is hunt.null"},
    {R"(  local n = #hunt.held()
  return n)",
     "2:13 warning held-length: # counts the entries of a list, and what a hunter holds is not "
     "a list: this is always 0; count in a loop: for loot_id in pairs(hunt.held()) do"},
    {R"(  return { a = 1 }
  hunt.award("gold"))",
     "3:3 after-last: this is never reached: \"return\" ends the block; remove it, or put it "
     "before the return"},
    {R"(  local prize = [[gold
  hunt.award(prize))",
     "2:17 unfinished-text: the text that begins here has no end; write ]] at the end of the "
     "text"},
    {R"(  local f = funtion(x)
    return x
  end)",
     "2:13 misspelt-word: Lua does not know funtion; did you mean function?"},
    {R"(  if hunt.held().gold >= 3
    hunt.award("gold"))",
     "2:3 missing-end: this \"if\" has no \"end\"; write end on a line of its own before line 4\n"
     "2:27 missing-then: the \"then\" of this \"if\" is missing; write then here"},
    {R"(  if hunt.id => "x" then hunt.award("gold") end)",
     "2:14 not-lua: => does not exist in Lua; for \"at least\", write >="},
    {R"(  hunt.list("a"))",
     "2:13 arguments: hunt.list takes one table; write hunt.list{...} or hunt.list()"},
    {R"(  local held = hunt.held()
  held.gold++)",
     "3:12 increment: ++ does not exist in Lua; to add one, write held.gold = held.gold + 1"},
    {R"(  if hunt.random == 1 then hunt.award("gold") end)",
     "2:11 function-as-value: hunt.random is a function, and is not called here; write "
     "hunt.random()"},
    {R"(  repeat
    local x = hunt.random(3)
  hunt.award("gold"))",
     "2:3 missing-end: this \"repeat\" has no \"until\"; write until on a line of its own "
     "before line 4"},
    {R"(  hunt.award("gold").)",
     "2:21 missing-value: a name is missing behind this dot; write the name, or remove the dot"},
    {R"(  local function give(id)
    hunt.log(id)
  end
  for loot_id in pairs(hunt.held()) do
    give(loot_id)
  return 3)",
     "5:3 missing-end: this \"for\" has no \"end\"; write end on a line of its own before line "
     "7"},
    {R"(  local t = {
    "a",
    "b",
  hunt.award(t[1]))",
     "2:13 not-closed: this { is not closed; write } behind the last entry"},
    {R"(  if hunt.now > 3
  then
    hunt.award("gold")
  elseif hunt.now > 2
    hunt.award("wood")
  end)",
     "5:22 missing-then: the \"then\" of this \"elseif\" is missing; write then here"},
    {R"(  if (hunt.now = 3) then hunt.award("gold") end)",
     "2:16 one-equals: \"=\" sets a value; it does not compare; to compare, write =="},
    {R"(  hunt.award("gold" "silver"))",
     "2:20 missing-comma: a comma is missing between two values; write a comma here; to join "
     "texts, write .."},
    {R"(  hunt.log("a", "b")",
     "2:11 not-closed: this ( is not closed; write ) behind the last value"},
    {R"(  local x = 
  return x)",
     "2:11 missing-value: a value is missing behind =; write the value, or remove what is "
     "before it"},
    {R"(  if hunt.id ~= then hunt.award("x") end)",
     "2:14 missing-value: a value is missing behind ~=; write the value, or remove what is "
     "before it"},
    {R"(  hunt.award("gold");
  else
    hunt.award("x")
  end)",
     "3:3 no-opener: this \"else\" belongs to no \"if\"; look above for an \"end\" that came "
     "too early"},
    {R"(  If hunt.now > 3 then hunt.award("gold") end)",
     "2:3 misspelt-word: Lua does not know the word If here; did you mean if?"},
    {R"(  local hunt.count = 3)",
     "2:13 local-name: behind \"local\" comes a plain name, without a dot; remove the word "
     "local"},
    {R"(  local int count = 3)",
     "2:13 warning global-set: \"local\" is missing before count; write local count the first "
     "time it gets a value"},
    {R"(  local count 3)",
     "2:14 missing-equals: the \"=\" is missing here; write local name = value"},
    {R"(  local held = hunt.held()
  if held.gold + held.silver > 3 then hunt.award("x") end)",
     "3:6 warning maybe-nil: held.gold is nil, and not 0, if the hunter has none; write "
     "(held.gold or 0)\n"
     "3:18 warning maybe-nil: held.silver is nil, and not 0, if the hunter has none; write "
     "(held.silver or 0)"},
    {R"(  hunt.award("gold", {}))",
     "2:22 option: this table has no limit in it; write {limit = 100}, or nothing"},
    {R"(  hunt.award("gold", {cuont = 5}))",
     "2:23 option: hunt.award has no option cuont; did you mean count? It is written {count = 5}"},
    {R"(  hunt.award("gold", {count = 0}))",
     "2:31 option: a count is a whole number from 1 to 1000000; write it without quotes, as in "
     "{count = 5}"},
    {R"(  hunt.award("gold", {count = 5, limit = 9}))",
     "2:22 option: an award has a limit or a count, not both; award one unit with the limit, in a "
     "loop"},
    {R"(  hunt.take("gold", 0))",
     "2:21 option: how many is a whole number from 1 to 1000000; write a number, as in "
     "hunt.take(\"iron\", 3)"},
    {R"(  hunt.left("gold"))",
     "2:12 arguments: hunt.left does not say the limit; write both as for hunt.award, as in "
     "hunt.left(\"gold\", {limit = 100})"},
    {R"(  hunt.left())",
     "2:12 arguments: hunt.left does not say which loot; write both as for hunt.award, as in "
     "hunt.left(\"gold\", {limit = 100})"},
    {R"(  hunt.left("gold", {limt = 3}))",
     "2:22 option: hunt.left has no option limt; did you mean limit? It is written {limit = 100}"},
    {R"(  hunt.left("gold", {count = 3}))",
     "2:22 option: hunt.left has no option count; write both as for hunt.award, as in "
     "hunt.left(\"gold\", {limit = 100})"},
    {R"(  hunt.take())",
     "2:12 arguments: hunt.take does not say which loot; write the loot_id in quotes, as in "
     "hunt.take(\"iron\", 3)"},
    {R"(  hunt.award("gold", "silver", "wood"))",
     "2:32 arguments: hunt.award takes a loot_id, and perhaps a limit or a count; call "
     "hunt.award once for each loot; a limit is written {limit = 100}"},
    {R"(  hunt.award("day " .. 3))",
     "2:14 loot-id: a loot_id cannot have \"day \" in it; a loot_id is 1 to 64 of A-Z a-z 0-9 "
     "_ . -"},
    {R"(  if hunt.held()["my sword"] then hunt.award("x") end)",
     "2:18 warning loot-id: no loot can be called \"my sword\"; a loot_id is 1 to 64 of A-Z "
     "a-z 0-9 _ . -"},
    {R"(  local total = 0
  for i = 1, 3 do totl = total + i end
  return total)",
     "3:19 warning global-set: totl gets a value here, but there is no \"local totl\"; did you "
     "mean total? If it is a new variable, write local before it"},
    {R"(  dofile("other"))",
     "2:3 not-in-hunts: dofile is not known here; put code that hunts share into lib/NAME.lua, and "
     "write require(\"NAME\")"},
    {R"(  if hunt.id == "x" then return Ture end)",
     "2:33 warning unknown-name: Ture is not known here; did you mean true?"},
    {R"(  local s = 'it's)",
     "2:17 missing-operator: the text before this ends within a word; a text with ' in it is "
     "written in double quotes: \"don't\""},
    {R"(  local ok = hunt.id == "a" | hunt.id == "b")",
     "2:29 and-or-not: | does not exist in Lua; write the word or"},
    {R"(  local n = 3 -– 2)",
     "2:16 odd-character: this is a long dash, which Lua does not know; type - on the keyboard"},
    {R"(  hunt.award(hunt.random))",
     "2:19 function-as-value: hunt.random is a function, and is not called here; write "
     "hunt.random()"},
    {R"(  table = { 1 })", "2:3 warning lua-name: this replaces table of Lua; choose another name"},
    {R"(  if hunt.now then hunt.award("x") end })",
     "2:40 braces: Lua does not put the lines of a block between { and }; remove it"},
    {R"(  function give(id)
    hunt.award(id)
  })",
     "4:3 braces: Lua does not put the lines of a block between { and }; write end in place of "
     "}"},
    {R"(  local t = { 1, 2 )
  return t)",
     "2:13 not-closed: this { is not closed; write } behind the last entry"},
    {R"(  local t = { hunt.id = 3 })",
     "2:23 table-key: before this \"=\" comes a plain name; write name = value, or [\"name\"] "
     "= value"},
    {R"(  hunt.log(#hunt.held))",
     "2:18 function-as-value: hunt.held is a function, and is not called here; write "
     "hunt.held()"},
    {R"(  local x = hunt.hold().gold)",
     "2:18 unknown-hunt-name: hunt.hold does not exist; did you mean hunt.held?"},
    {R"(  local a = 5 5)",
     "2:15 missing-operator: two values follow each other; to join texts, write .. between "
     "them; to list values, a comma"},
    {R"(  else
    hunt.award("x"))",
     "2:3 no-opener: this \"else\" belongs to no \"if\"; look above for an \"end\" that came "
     "too early"},
    {R"(  local x = 3 $ 4)",
     "2:15 odd-character: Lua does not know the character $; remove it, or write it within the "
     "quotes of a text"},
    {R"(  local function f(a = 3) return a end)",
     "2:22 parameter: a parameter cannot get a value here; write name = name or value as the "
     "first line of the function"},
    {R"(  local a, b = hunt.random(3) hunt.random(4)
  (hunt.log)("x"))",
     "3:3 ambiguous-call: Lua takes this ( for a part of the line before; write ; before it if "
     "it begins something new"},
    {R"(  hunt.log("x")
  (hunt.log)("x"))",
     "3:3 ambiguous-call: Lua takes this ( for a part of the line before; write ; before it if "
     "it begins something new"},
    {R"(  break
  hunt.log("x"))",
     "3:3 after-last: this is never reached: \"break\" ends the block; remove it, or put it "
     "before the break"},
    {R"(  local f = function give(id) end)",
     "2:22 function-name: a function that is a value has no name; remove the name"},
    {R"(  f(x) = 3)",
     "2:3 assign: this cannot get a value; before \"=\" comes a name, or a field of a table"},
    {R"(  for loot_id, count of pairs(hunt.held()) do hunt.log(loot_id) end)",
     "2:22 for: Lua does not expect this behind \"for\"; write for i = 1, 10 do, or for i, "
     "value in ipairs(list) do"},
    {R"(  for i = 1 to 10 do hunt.log(i) end)",
     "2:13 for: here a comma and the last number are expected; write for i = 1, 10 do"},
    {R"(  hunt.log([[a]] .. --[[ never closed)",
     "2:21 unfinished-comment: this comment has no end, so the rest of the file is in it; "
     "write ]] at the end of the comment"},
    {R"(  local held = hunt.held()
  return -held.gold)",
     "3:11 warning maybe-nil: held.gold is nil, and not 0, if the hunter has none; write "
     "(held.gold or 0)"},
    {R"(  local name = hunt.hunter
  return name.x)",
     "2:21 warning unknown-hunt-name: hunt.hunter does not exist; did you mean hunt.hunter_id?"},
    {R"(  hunt.reject(nil, 3) hunt.log(hunt.now .. "x" + "y"))",
     "2:44 text-arithmetic: + is for numbers, and this is a text; to join texts, write ..\n"
     "2:50 text-arithmetic: + is for numbers, and this is a text; to join texts, write .."},
    {R"(  x.y.z = 3)",
     "2:3 unknown-name: x is not known here; if it is a text, write \"x\" in quotes; if it is "
     "a variable, write local x = ... above"},
    {R"(  local lucky = hunt.random(100) = 1)",
     "2:34 one-equals: \"=\" sets a value; it does not compare; to compare, write =="},
    {R"(  return hunt.now = 3)",
     "2:19 one-equals: \"=\" sets a value; it does not compare; to compare, write =="},
    {R"(  while hunt.now = 3 do break end)",
     "2:18 one-equals: \"=\" sets a value; it does not compare; to compare, write =="},
    {R"(  local held = hunt.held()
  held.gold = held.gold + 1)",
     "3:15 warning maybe-nil: held.gold is nil, and not 0, if the hunter has none; write "
     "(held.gold or 0)"},
    {R"(  local lucky = straek
  return straek + 1)",
     "3:10 unknown-name: straek is not known here; if it is a text, write \"straek\" in quotes; if "
     "it is a variable, write local straek = ... above"},
    {R"(  while True do break end)",
     "2:9 warning not-in-hunts: True is not known here; write true"},
    {R"(  for i in counter do return i + #hunt.tier end)",
     "2:12 unknown-name: counter is not known here; if it is a text, write \"counter\" in "
     "quotes; if it is a variable, write local counter = ... above\n"
     "2:40 unknown-hunt-name: hunt.tier does not exist; hunt has award, date, held, left, list, log, "
     "pick, random, reject, state, take, config, hunter_id, id, input, now, null"},
    {R"(  if hunt.id == gold then hunt.log(hunt.hunter) end)",
     "2:17 warning unknown-name: gold is not known here; if it is a text, write \"gold\" in "
     "quotes; if it is a variable, write local gold = ... above\n"
     "2:41 warning unknown-hunt-name: hunt.hunter does not exist; did you mean hunt.hunter_id?"},
};

// Whole scripts.
constexpr Mistake scripts[] = {
    {R"(function play(hunt)
  hunt.award("gold")
end
)",
     "1:1 no-function: this file does not return a function; write as the last line: return play"},
    {R"(hunt.award("gold"))",
     "1:1 hunt-not-given: hunt is not known here; only the main function gets hunt: hand it on, as "
     "in local function give(hunt)"},
    {R"(local function give(id)
  hunt.award(id)
end
return function(hunt)
  give("gold")
end
)",
     "2:3 hunt-not-given: hunt is not known here; only the main function gets hunt: hand it on, as "
     "in local function give(hunt)"},
    {R"(return function(h)
  h.awrad("gold")
end
)",
     "2:5 unknown-hunt-name: hunt.awrad does not exist; did you mean hunt.award?"},
    {R"(local function play(h)
  h:award("gold")
end
return play
)",
     "2:5 colon: hunt:award needs a dot in place of the colon; write hunt.award"},
    {R"(local odds = nil + 1
return function(hunt) end
)",
     "1:1 lua: Lua reports: attempt to perform arithmetic on a nil value; if it may be nil, as what "
     "is not held, write (it or 0); look at this line, and "
     "at the line before it"},
    {R"(return function(hunt)
if hunt.now > 3 then
hunt.award("gold")
)",
     "2:1 missing-end: this \"if\" has no \"end\"; write end below the last line that belongs to "
     "it"},
    {R"(local function points_of(hunt)
  return hunt.points + hunt:total()
end
return function(h)
  h.award("gold")
end
)",
     "2:15 warning unknown-hunt-name: hunt.points does not exist; hunt has award, date, held, left, list, "
     "log, pick, random, reject, state, take, config, hunter_id, id, input, now, null\n"
     "2:29 warning colon: hunt:total needs a dot in place of the colon; write hunt.total"},
    {"",
     "1:1 no-function: this file does not return a function; write return function(hunt) before "
     "the lines of the hunt, and end behind them"},
};

}  // namespace

TEST_CASE("each mistake has its place, what is wrong and what to do") {
  CHECK(std::size(mistakes) >= 100);
  for (const Mistake& mistake : mistakes)
    CHECK_MESSAGE(text_of(check_of(hunt_of(mistake.body))) == mistake.expected,
                  std::string(mistake.body));
}

TEST_CASE("a mistake outside of the main function is found too") {
  for (const Mistake& mistake : scripts)
    CHECK_MESSAGE(text_of(check_of(mistake.body)) == mistake.expected, std::string(mistake.body));
}
