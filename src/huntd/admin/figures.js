// SPDX-License-Identifier: Apache-2.0
// What the page computes from the JSON of the admin port (docs/formats/admin-json.md), without the DOM. Intervals are
// computed as huntctl top does: src/huntctl/status_report.cc and latency_interval.cc.
"use strict";

const cells_per_decade = 10;
const cells = 7 * cells_per_decade + 1;  // of a distribution: up to 1 µs, then ten per decade up to 10 s

// --- texts ---

function time_text(us) {
  if (us < 0.1) return "<0.1 µs";
  if (us >= 1e6) return (us / 1e6).toPrecision(3) + " s";
  if (us >= 1e3) return (us / 1e3).toPrecision(3) + " ms";
  return us.toPrecision(3) + " µs";
}
function span_text(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 172800) return Math.floor(s / 3600) + " h";
  return Math.floor(s / 86400) + " d";
}
const utc_text = (ms) => new Date(ms).toISOString().slice(11, 19);
const count_text = (n) => Math.round(n).toLocaleString("en").replaceAll(",", "\u202f");
const rate_text = (rate) => rate === null ? "–" : rate >= 1000 ? count_text(rate) : rate.toFixed(1);
const mib_text = (bytes) => count_text(Math.floor(bytes / 1048576)) + " MiB";
const stage_text = (name) => name.replaceAll("_", " ");
// Of the bounds of a cell; the lowest one has everything up to 1 µs.
const cell_bound_us = (cell) => Math.pow(10, cell / cells_per_decade);

// "core 3", "cores 0–2, 5".
function cores_text(numbers) {
  const ranges = [];
  for (const n of [...numbers].sort((a, b) => a - b)) {
    const range = ranges.at(-1);
    if (range && range[1] === n - 1) range[1] = n;
    else ranges.push([n, n]);
  }
  return (numbers.length === 1 ? "core " : "cores ") +
    ranges.map(([from, to]) => from === to ? from : from + (to === from + 1 ? ", " : "–") + to).join(", ");
}

// --- counters ---

// The sum of `metric` over the values of its labels.
const sum_of = (numbers, metric) => Object.entries(numbers)
  .filter(([name]) => name === metric || name.startsWith(metric + "{")).reduce((sum, [, n]) => sum + n, 0);

// How fast the counters grew from `before` (null: unknown) to `now`: {seconds, cores: [{NAME: rate}], all: {NAME: rate}}, or
// null if no rate is known. If huntd was started in between, since that start.
function activity_between(before, now) {
  if (!before) return null;
  const restarted = before.started_at_ms !== now.started_at_ms;
  const seconds = (now.taken_at_ms - (restarted ? now.started_at_ms : before.taken_at_ms)) / 1000;
  if (seconds <= 0) return null;  // the clock of the host may have been set back
  const all = {};
  const cores = now.cores.map((core) => {
    const base = restarted ? undefined : before.cores.find((other) => other.core === core.core);
    const rates = {};
    for (const [name, n] of Object.entries(core.counters)) {
      const earlier = base?.counters[name] ?? 0;
      rates[name] = (n - (earlier > n ? 0 : earlier)) / seconds;  // one that has become smaller has started again
      all[name] = (all[name] ?? 0) + rates[name];
    }
    return rates;
  });
  return {seconds, cores, all};
}
// [outcome, per second or null, count], the most frequent first.
function outcomes_of(status, activity) {
  const totals = {};
  for (const core of status.cores)
    for (const [name, n] of Object.entries(core.counters))
      if (name.startsWith("huntd_hunts_total{")) totals[name] = (totals[name] ?? 0) + n;
  return Object.entries(totals).filter(([, n]) => n > 0)
    .map(([name, n]) => [name.split('"')[1], activity ? activity.all[name] ?? 0 : null, n])
    .sort((a, b) => b[1] - a[1] || b[2] - a[2]);
}
// The hunts of /hunts.json with `per_s` (null: unknown), the busiest of the interval first and the sum of the others last. `before`
// and `now` are {status, hunts}.
function hottest(before, now) {
  const restarted = before?.status.started_at_ms !== now.status.started_at_ms;
  const seconds = (now.status.taken_at_ms - (restarted ? now.status.started_at_ms : before.status.taken_at_ms)) / 1000;
  const known = Boolean(before?.hunts) && seconds > 0;
  const earlier = new Map(known && !restarted ? before.hunts.map((row) => [row.hunt, row.runs]) : []);
  const was_full = earlier.size > now.hunts_max;  // the others have an entry too: a hunt without one was one of them
  return now.hunts.map((row) => {
    const base = earlier.get(row.hunt);
    // The others become fewer when one of them gets an entry of its own.
    const per_s = !known || (base === undefined && was_full) ? null : Math.max(0, row.runs - (base ?? 0)) / seconds;
    return {...row, per_s};
  }).filter((row) => row.runs > 0)
    .sort((a, b) => Boolean(a.other) - Boolean(b.other) || b.per_s - a.per_s || b.runs - a.runs);
}

// The rows of /loot.json, those of one hunt together, the hunts with the most awards first. `seen` and `meant` are parts of a
// table of odds; `far`: they differ by more than chance does. A line of a table without an award has a row too.
function loot_rows(before, now) {
  const key = (row) => row.hunt + " " + row.loot;
  const restarted = before?.status.started_at_ms !== now.status.started_at_ms;
  const seconds = (now.status.taken_at_ms - (before?.status.taken_at_ms ?? 0)) / 1000;
  const earlier = before?.loot && !restarted ? new Map(before.loot.map((row) => [key(row), row.awards])) : null;
  const rows = new Map(now.loot.map((row) => [key(row), row])), odds = new Map(), by_hunt = new Map();
  for (const {hunt, lines} of now.tables) {
    const sum = lines.reduce((all, {loot}) => all + (rows.get(key({hunt, loot}))?.awards ?? 0), 0);
    if (sum === 0) continue;
    for (const {loot, share} of lines) {
      const name = key({hunt, loot});
      if (!rows.has(name)) rows.set(name, {hunt, loot, awards: 0, units: 0, limit: null, left: null});
      if (!odds.has(name)) odds.set(name, {meant: share, sum});
    }
  }
  for (const {hunt, awards} of rows.values()) by_hunt.set(hunt, (by_hunt.get(hunt) ?? 0) + awards);
  return [...rows].map(([name, row]) => {
    const {meant = null, sum = 0} = odds.get(name) ?? {};
    const seen = sum ? row.awards / sum : null;
    return {...row, meant, seen, far: sum >= 100 && Math.abs(seen - meant) > 4 * Math.sqrt(meant * (1 - meant) / sum) + 0.5 / sum,
      per_s: earlier && seconds > 0 ? Math.max(0, row.awards - (earlier.get(name) ?? 0)) / seconds : null};
  }).sort((a, b) => by_hunt.get(b.hunt) - by_hunt.get(a.hunt) || a.hunt.localeCompare(b.hunt) || b.awards - a.awards);
}

// --- what needs attention ---

// The same reason of several cores is one line.
function grouped_reasons(reasons) {
  const found = new Map();
  for (const {core, reason} of reasons) {
    const text = core === null ? reason : reason.replace(`core ${core} `, "");
    if (!found.has(text)) found.set(text, new Set());
    if (core !== null) found.get(text).add(core);
  }
  return [...found].map(([text, numbers]) => numbers.size ? cores_text([...numbers]) + ": " + text : text);
}
// The servers that the cores use, one row for each that differs: {what, address, server, state, reason, cores}. `state` is "up",
// "down" or "none" (not configured).
function servers_of(status) {
  const rows = new Map();
  const add = (row, core) => {
    const key = JSON.stringify(row);
    if (!rows.has(key)) rows.set(key, {...row, cores: []});
    rows.get(key).cores.push(core);
  };
  for (const {core, state, gauges, redis, kafka} of status.cores) {
    if (state === "down") continue;
    const up = gauges.huntd_redis_up === 1;
    add({what: "Redis", address: redis.address, server: up ? redis.server : "", state: up ? "up" : "down",
      reason: redis.reason || (up ? "" : "not connected yet")}, core);
    add({what: "Kafka", address: kafka.address, server: "", reason: kafka.reason,
      state: !kafka.address ? "none" : kafka.reason ? "down" : "up"}, core);
  }
  return [...rows.values()].sort((a, b) => a.what < b.what ? 1 : a.what > b.what ? -1 : 0);
}

// --- latency ---

const cell_of = (bound_us) => Math.min(cells - 1, Math.max(0, Math.round(Math.log10(bound_us) * cells_per_decade)));

// The value of the rank of `percent`, if the values of a cell are evenly spread on its logarithmic axis.
function percentile_us(distribution, count, max_us, percent) {
  const rank = Math.max(1, Math.ceil(count * percent / 100));
  let passed = 0;
  for (const [bound_us, n] of distribution) {
    const in_cell = rank - passed;
    passed += n;
    if (passed < rank) continue;
    if (bound_us <= 1) return Math.min(bound_us, max_us);
    return Math.min(bound_us / Math.pow(10, (1 - in_cell / n) / cells_per_decade), max_us);
  }
  return max_us;
}
// One stage from `before` (undefined: the start) to `now`; null if it has no new values.
function stage_between(before, now) {
  const earlier = new Map(before?.distribution);
  const distribution = [];
  let count = 0, sum_us = 0;
  for (const [bound_us, n] of now.distribution) {
    const more = n - Math.min(earlier.get(bound_us) ?? 0, n);
    if (more === 0) continue;
    distribution.push([bound_us, more]);
    count += more;
    const lower_us = bound_us <= 1 ? 0 : bound_us / Math.pow(10, 1 / cells_per_decade);
    sum_us += more * (lower_us + bound_us) / 2;
  }
  if (count === 0) return null;
  const max_us = now.max_us > (before?.max_us ?? 0) ? now.max_us : Math.min(distribution.at(-1)[0], now.max_us);
  const at = (percent) => percentile_us(distribution, count, max_us, percent);
  return {count, mean_us: Math.min(sum_us / count, max_us), p50_us: at(50), p90_us: at(90), p99_us: at(99), p99_9_us: at(99.9),
    max_us, distribution};
}
// {from_ms, to_ms, sources}: sources[0] is of all cores, sources[1 + i] of cores[i]; each has an entry per stage, which is null
// without values. null if `before` is unknown or not older.
function latency_between(before, now) {
  if (!before) return null;
  const restarted = before.started_at_ms !== now.started_at_ms;
  const from_ms = restarted ? now.started_at_ms : before.taken_at_ms;
  if (now.taken_at_ms <= from_ms) return null;
  const base_of = (core) => restarted ? undefined : before.cores.find((other) => other.core === core.core)?.stages;
  const between = (base, stages) => Object.entries(stages).map(([name, figures]) => stage_between(base?.[name], figures));
  return {from_ms, to_ms: now.taken_at_ms, sources: [between(restarted ? undefined : before.all.stages, now.all.stages),
    ...now.cores.map((core) => between(base_of(core), core.stages))]};
}
// For a heat map: what a column keeps of each stage. `counts` is [cell, count, ...].
function kept_of(interval) {
  const keep = (stage) => stage && {count: stage.count, p50_us: stage.p50_us, p99_us: stage.p99_us,
    counts: Uint32Array.from(stage.distribution.flatMap(([bound_us, n]) => [cell_of(bound_us), n]))};
  return {...interval, sources: interval.sources.map((stages) => stages.map(keep))};
}
