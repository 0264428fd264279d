-- SPDX-License-Identifier: Apache-2.0
-- One loot for one hunter, by EVALSHA.   KEYS held   ARGV loot_id   reply: the hunter's new seq
redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
return redis.call('HINCRBY', KEYS[1], '#seq', 1)
