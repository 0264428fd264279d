// SPDX-License-Identifier: Apache-2.0
// The page: reads the JSON of its own port every refresh, and shows it.

const history_ms_max = 30 * 60 * 1000;  // how long the maps go back
const columns_max = 300;                // of a map
const kept_histograms_max = 150_000;    // of all maps together: some 30 MB
const span_ms_min = 60_000;             // of a map's axis
const maps_max = 64;                    // that are drawn at a time
const problems_max = 20;                // lines under "Needs attention"
const hunts_shown_max = 12;                  // lines under "Hottest hunts"
const loots_shown_max = 24;                  // lines under "Loot"
const errors_shown_max = 12;                 // lines under "Newest errors of scripts"
const bundles_shown_max = 8;                 // lines under "Bundles"
const response_wait_max_ms = 10_000;

const by_id = (id) => document.getElementById(id);
const reduced_motion = matchMedia("(prefers-reduced-motion: reduce)");

let before = null;     // the sample before `now`
let now = null;        // {status, latency, health, ready, hunts, hunts_max, loot, tables, loot_shown, errors, bundles}; the last seven: undefined without their paths
let columns = [];      // as kept_of() makes them, each with `figures` for the trends
let moment = null;     // the column that the maps' captions are about; null: the newest
const absent = {};     // path: started_at_ms of a huntd that does not have it
let paused = false, timer = 0;

// --- DOM ---

// A text never becomes markup.
function add(parent, tag, text, kind) {
  const made = parent.appendChild(document.createElement(tag));
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}
// `heads`: [text, class]; `rows`: arrays of a text or [text, class]. The first column names the row.
function fill_table(id, heads, rows) {
  const table = by_id(id);
  table.replaceChildren(table.caption);
  const head = add(add(table, "thead"), "tr");
  for (const [text, kind] of heads) add(head, "th", text, kind).scope = "col";
  const body = add(table, "tbody");
  for (const row of rows) {
    const line = add(body, "tr");
    row.forEach((cell, i) => {
      const [text, kind] = Array.isArray(cell) ? cell : [cell, ""];
      const made = add(line, i === 0 ? "th" : "td", String(text), [heads[i][1], kind].filter(Boolean).join(" "));
      if (i === 0) made.scope = "row";
    });
  }
}
// What scrolls can be reached with the keyboard; what does not is not a stop.
function mark_scrollable() {
  for (const section of document.querySelectorAll(".tabled")) {
    const scrolls = section.scrollWidth > section.clientWidth;
    if (scrolls === section.hasAttribute("tabindex")) continue;
    const wanted = {tabindex: "0", role: "region", "aria-label": section.querySelector("caption").textContent};
    for (const [name, value] of Object.entries(wanted)) scrolls ? section.setAttribute(name, value) : section.removeAttribute(name);
  }
}
function set_options(select, options) {
  if (select.options.length === options.length && options.every(([value], i) => select.options[i].value === value)) return;
  const chosen = select.value;
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  select.value = options.some(([value]) => value === chosen) ? chosen : options[0][0];
}

// --- the sections ---

function show_badge(id, good, yes, no) {
  by_id(id).textContent = good ? yes : no;
  by_id(id).className = "badge " + (good ? "good" : "bad");
}
function show_head({status, health, ready}) {
  show_badge("healthy", health.healthy, "healthy", "stalled");
  show_badge("ready", ready.ready, "ready", "not ready");
  by_id("about").textContent = `version ${status.version} · up ${span_text(status.taken_at_ms - status.started_at_ms)} · ` +
    `process ${status.pid} · ${utc_text(status.taken_at_ms)} UTC`;
}
function show_attention({status, health, ready}, failure) {
  const {reload} = status;
  const degraded = servers_of(status).filter((row) => row.what === "Kafka" && row.state === "down");
  const problems = grouped_reasons([...health.reasons, ...ready.reasons]);
  for (const row of degraded) problems.push(`${cores_text(row.cores)}: Kafka at ${row.address.replaceAll(",", ", ")} takes no events: ${row.reason}`);
  const waiting = status.cores.reduce((sum, core) => sum + core.gauges.huntd_outbox_pending, 0);
  if (degraded.length)
    problems.push(`no loot is lost: events wait in the outbox until Kafka takes them (at the last count ${count_text(waiting)})`);
  if (failure) problems.unshift(`no new figures since ${utc_text(status.taken_at_ms)} UTC: ${failure}`);
  const more = problems.length - problems_max;
  if (more > 0) problems.splice(problems_max, more, `and ${more} more: see readyz`);
  by_id("problems").replaceChildren();
  for (const problem of problems) add(by_id("problems"), "li", problem);
  const rejected = reload.result === "rejected";
  by_id("rejected").hidden = !rejected;
  if (rejected) {
    by_id("rejected_when").textContent = (reload.finished === 0 ? "hunts.dir was rejected at the start" : "The newest reload was rejected") +
      ` ${span_text(status.taken_at_ms - reload.at_ms)} ago (${utc_text(reload.at_ms)}); huntd serves the ` +
      `${reload.serves_saved ? "saved" : "previous"} scripts:`;
    if (by_id("rejected_error").textContent !== reload.error) by_id("rejected_error").textContent = reload.error;
  }
  by_id("attention").hidden = problems.length === 0 && !rejected;
  const count = problems.length + rejected;
  document.title = (count ? `(${count}) ` : "") + "huntd";
  const text = failure ? "no new figures" : [health.healthy ? "healthy" : "stalled", ready.ready ? "ready" : "not ready",
    degraded.length ? "Kafka takes no events" : "", rejected ? "the newest reload was rejected" : ""].filter(Boolean).join(", ");
  if (by_id("announced").textContent !== text) by_id("announced").textContent = text;  // read aloud only if it changes
}
// The figures of one refresh that have a trend: [name, value or null].
function trend_figures(status, activity, stages) {
  const rate = (metric) => activity && sum_of(activity.all, metric);
  const gauge = (name) => status.cores.reduce((sum, core) => sum + core.gauges[name], 0);
  return {
    "hunts/s": rate("huntd_hunts_total"), "requests/s": rate("huntd_http_requests_total"),
    "5xx/s": activity && (activity.all['huntd_http_requests_total{code="5xx"}'] ?? 0),
    "request p99": stages?.request?.p99_us ?? null, "awards/s": rate("huntd_awards_total"),
    "connections": gauge("huntd_connections_open"), "workers": gauge("huntd_workers_live"), "queue": gauge("huntd_queue_length"),
    "outbox": gauge("huntd_outbox_pending"),
    ...status.cores.some((core) => core.kafka.address) &&
      {"Kafka acks/s": rate("huntd_kafka_acked_total"), "Kafka in flight": gauge("huntd_kafka_in_flight")},
    "Redis memory": Math.max(...status.cores.map((core) => core.gauges.huntd_redis_memory_used_bytes)),
  };
}
function tile_text(name, value, status) {
  if (value === null) return ["–", ""];
  if (name === "request p99") return [time_text(value), ""];
  if (name === "Redis memory") {
    const limit = Math.max(...status.cores.map((core) => core.gauges.huntd_redis_memory_max_bytes));
    return [mib_text(value), limit ? " of " + mib_text(limit) : ""];
  }
  return [name.endsWith("/s") ? rate_text(value) : count_text(value), ""];
}
function show_tiles(status, figures, colours) {
  const tiles = by_id("tiles");
  for (const [name, value] of Object.entries(figures)) {
    let tile = tiles.querySelector(`[data-name="${name}"]`);
    if (!tile) {
      tile = add(tiles, "div");
      tile.dataset.name = name;
      add(tile, "dt", name);
      const shown = add(tile, "dd");
      add(shown, "span");
      add(shown, "small");
      add(shown, "canvas").setAttribute("aria-hidden", "true");
    }
    const [text, more] = tile_text(name, value, status);
    tile.querySelector("span").textContent = text;
    tile.querySelector("small").textContent = more;
    draw_trend(tile.querySelector("canvas"), [...columns.map((column) => column.figures[name] ?? 0)], colours);
  }
}
function show_scripts({reload, taken_at_ms, cores}) {
  const ago = span_text(taken_at_ms - reload.at_ms) + " ago";
  const bundles = new Set(cores.map((core) => core.bundle).filter(Boolean));
  by_id("scripts").textContent = [
    bundles.size === 1 ? `bundle ${[...bundles][0].slice(0, 12)}` : bundles.size ? `${bundles.size} bundles in use` : "no bundle",
    reload.result === "none" ? "not reloaded" : reload.result === "applied" ? `reloaded ${ago}` : `reload rejected ${ago}`,
    `reloads: ${reload.applied} applied, ${reload.rejected} rejected`,
    reload.started > reload.finished ? "a reload is being checked" + (reload.progress ? ": " + reload.progress : "") : "",
  ].filter(Boolean).join(" · ");
}
function show_stages(names, interval) {
  const seconds = interval ? (interval.to_ms - interval.from_ms) / 1000 : 0;
  fill_table("stages", [["stage", "text"], ["per s"], ["p50"], ["p90", "wide"], ["p99"], ["p99.9", "wide"], ["max"]],
    names.map((name, i) => {
      const figures = interval?.sources[0][i];
      return [stage_text(name), interval ? rate_text(figures ? figures.count / seconds : 0) : "–",
        ...["p50", "p90", "p99", "p99_9", "max"].map((key) => figures ? time_text(figures[key + "_us"]) : "–")];
    }));
}
const state_kind = (state) => state === "ready" ? "good" : state === "down" ? "bad" : "warn";
function show_cores({status}, names, interval, activity) {
  const seconds = interval ? (interval.to_ms - interval.from_ms) / 1000 : 0;
  const [tick_at, request_at] = ["tick", "request"].map((name) => names.indexOf(name));
  fill_table("cores", [["core", "text"], ["state", "text"], ["busy"], ["hunts/s"], ["requests/s", "wide"], ["p99"], ["workers", "wide"],
    ["queue"], ["connections", "wide"], ["outbox", "wide"], ["Redis", "text"], ["cpu", "wide"], ["pid", "wide"], ["up", "wide"],
    ["restarts", "wide"], ["last end", "text wide"]],
  status.cores.map((core, i) => {
    const stages = interval?.sources[i + 1], tick = stages?.[tick_at], request = stages?.[request_at];
    const rate = (metric) => rate_text(activity && sum_of(activity.cores[i], metric));
    const gauge = (name) => count_text(core.gauges[name]);
    const redis_up = core.gauges.huntd_redis_up === 1;
    return [core.core, [core.state, state_kind(core.state)],
      interval ? Math.min(100, tick ? tick.count * tick.mean_us / 1e4 / seconds : 0).toFixed(0) + " %" : "–",
      rate("huntd_hunts_total"), rate("huntd_http_requests_total"), request ? time_text(request.p99_us) : "–",
      gauge("huntd_workers_live"), gauge("huntd_queue_length"), gauge("huntd_connections_open"), gauge("huntd_outbox_pending"),
      [redis_up ? "up" : "down", redis_up ? "good" : "bad"], core.cpu, core.pid || "–",
      core.pid ? span_text(status.taken_at_ms - core.started_at_ms) : "–", core.restarts, core.last_end || "–"];
  }));
}
function show_servers(status) {
  const kinds = {up: "good", down: "bad", none: ""}, texts = {up: "up", down: "down", none: "not configured"};
  fill_table("servers", [["server", "text"], ["state", "text"], ["address", "text"], ["cores", "text"], ["version", "text wide"],
    ["reason", "text long"]],
  servers_of(status).map((row) => [row.what, [texts[row.state], kinds[row.state]], [row.address.replaceAll(",", ", ") || "–", "long"],
    cores_text(row.cores).replace(/^cores? /, ""), row.server || "–", [row.reason || "–", row.reason ? "bad" : ""]]));
}
function show_outcomes(status, activity) {
  const found = outcomes_of(status, activity);
  const kind = (outcome) => ["ok", "replayed", "rejected"].includes(outcome) ? "" : "warn";
  fill_table("outcomes", [["outcome", "text"], ["per s"], ["since the start"]], found.length ?
    found.map(([outcome, rate, n]) => [[stage_text(outcome), rate > 0 ? kind(outcome) : ""], rate_text(rate), count_text(n)]) :
    [["none yet", "–", "–"]]);
}
function show_hunts() {
  by_id("hunts_section").hidden = by_id("hunts_link").hidden = !now.hunts;
  if (!now.hunts) return;
  const rows = hottest(before, now);
  fill_table("hunts", [["hunt", "text"], ["per s"], ["runs"], ["failed"], ["refused", "wide"], ["p50", "wide"], ["p99"]],
    rows.filter((row) => !row.other).slice(0, hunts_shown_max).concat(rows.filter((row) => row.other)).map((row) => [
      row.other ? "all others" : row.hunt, rate_text(row.per_s), count_text(row.runs), [count_text(row.failed), row.failed ? "warn" : ""],
      count_text(row.refused), time_text(row.p50_ms * 1000), time_text(row.p99_ms * 1000)]));
}
function show_loot() {
  const is_private = now.loot_shown === false;
  by_id("loot_section").hidden = !now.loot?.length && !is_private;
  by_id("loot").hidden = is_private;
  by_id("loot_private").hidden = !is_private;
  const percent = (part) => part === null ? "–" : (part * 100).toPrecision(3) + " %";
  fill_table("loot", [["hunt", "text"], ["loot", "text"], ["given"], ["per s", "wide"], ["seen"], ["meant"], ["left"]],
    now.loot ? loot_rows(before, now).slice(0, loots_shown_max).map((row) => [row.hunt, row.loot, count_text(row.units), rate_text(row.per_s),
      [percent(row.seen), row.far ? "warn" : ""], percent(row.meant),
      [row.limit === null ? "–" : `${row.left === null ? "?" : count_text(row.left)} of ${count_text(row.limit)}`, row.left === 0 ? "warn" : ""]]) : []);
}
function show_errors({errors, status}) {
  by_id("errors_section").hidden = !errors?.length;
  fill_table("errors", [["hunt", "text"], ["line"], ["times"], ["last"], ["reason", "text wide"], ["message", "text"]],
    (errors ?? []).slice(0, errors_shown_max).map((row) => [row.hunt, row.line ?? "–", count_text(row.count),
      span_text(Math.max(0, status.taken_at_ms - row.last_ms)) + " ago", row.reason, row.message]));
}
function show_bundles({bundles}) {
  by_id("bundles_section").hidden = !bundles?.length;
  fill_table("bundles", [["bundle", "text"], ["state", "text"], ["since", "text"], ["by", "text"], ["hunts"], ["served"], ["from", "text wide"]],
    (bundles ?? []).slice(0, bundles_shown_max).map((row) => [row.bundle.slice(0, 12), row.live ? "live" : "",
      new Date(row.at_ms).toISOString().slice(0, 16).replace("T", " "), row.by, count_text(row.hunts), count_text(row.served), row.from]));
}

// --- the maps ---

// What is chosen: [{source, stage: index, name}]; those without values are the last.
function wanted_maps(names) {
  const cores = by_id("core").value, stages = by_id("stage").value;
  const found = [];
  names.forEach((name, stage) => {
    if (stages !== "each" && stages !== name) return;
    now.latency.cores.forEach(({core}, i) => {
      if (cores === "each" || cores === String(core)) found.push({source: i + 1, stage, name: `${stage_text(name)}, core ${core}`});
    });
    if (cores === "all") found.push({source: 0, stage, name: stage_text(name)});
  });
  const empty = ({source, stage}) => source_now(source, names[stage]).count === 0;
  return found.sort((a, b) => empty(a) - empty(b));
}
function source_now(source, name) {
  return (source === 0 ? now.latency.all : now.latency.cores[source - 1]).stages[name];
}
// The same for each core, so that they can be compared.
function range_of_stage(names, stage) {
  const found = source_now(0, names[stage]).distribution.map(([bound_us]) => cell_of(bound_us));
  return cell_range(found);
}
function figures_text(column, stage) {
  if (!column) return "";
  if (!stage) return "no values";
  return `${rate_text(stage.count * 1000 / (column.to_ms - column.from_ms))}/s · p50 ${time_text(stage.p50_us)} · ` +
    `p99 ${time_text(stage.p99_us)}`;
}
function show_maps(names) {
  const wanted = wanted_maps(names), shown = wanted.slice(0, maps_max);
  const maps = by_id("maps"), colours = heat_colours();
  while (maps.children.length > shown.length) maps.lastChild.remove();
  while (maps.children.length < shown.length) add_figure(maps);
  const last = columns.at(-1);
  const to_ms = last ? last.to_ms : now.latency.taken_at_ms;
  const from_ms = Math.min(columns.length ? columns[0].from_ms : to_ms, to_ms - span_ms_min);
  const at = moment ?? last;
  shown.forEach(({source, stage, name}, i) => {
    const [figcaption, canvas] = maps.children[i].children;
    const since_start = source_now(source, names[stage]).distribution;
    const range = range_of_stage(names, stage);
    const text = range ? figures_text(at, at?.sources[source]?.[stage]) : "no values since the start";
    figcaption.firstChild.textContent = name;
    figcaption.lastChild.textContent = text;
    canvas.setAttribute("aria-label", `Heat map of ${name} over time. ${moment ? "Chosen moment" : "Newest"}: ${text}`);
    canvas.hidden = !range;
    if (!range) return;
    const of_stage = columns.map((column) => ({from_ms: column.from_ms, to_ms: column.to_ms, stage: column.sources[source]?.[stage]}));
    draw_heat_map(canvas, {columns: of_stage, from_ms, to_ms, since_start, range, moment}, colours);
  });
  by_id("kept").textContent = (wanted.length > maps_max ? `${maps_max} of ${wanted.length} maps · ` : "") +
    (columns.length ? `since ${utc_text(columns[0].from_ms)}` : "from the next refresh on");
}
function add_figure(maps) {
  const figure = add(maps, "figure");
  const caption = add(figure, "figcaption");
  add(caption, "b");
  add(caption, "span");
  const canvas = add(figure, "canvas");
  canvas.setAttribute("role", "img");
  canvas.onpointermove = (event) => {
    const part = (event.offsetX - axis_px - strip_px) / (canvas.clientWidth - 1 - axis_px - strip_px);
    if (!columns.length || part < 0) return;
    const to_ms = columns.at(-1).to_ms, from_ms = Math.min(columns[0].from_ms, to_ms - span_ms_min);
    const ms = from_ms + part * (to_ms - from_ms);
    choose_moment(columns.find((column) => column.from_ms <= ms && ms < column.to_ms) ?? null);
  };
  canvas.onpointerleave = () => choose_moment(null);
}
function choose_moment(column) {
  moment = column;
  show_moment();
  if (now) show_maps(Object.keys(now.latency.all.stages));
}
function show_moment() {
  const slider = by_id("moment");
  slider.disabled = columns.length < 2;
  slider.max = Math.max(0, columns.length - 1);
  slider.value = moment ? columns.indexOf(moment) : slider.max;
  const text = moment ? utc_text(moment.to_ms) : "newest";
  slider.setAttribute("aria-valuetext", text);
  by_id("moment_text").textContent = text;
}

// --- the loop ---

async function read_json(path) {
  const response = await fetch(path, {signal: AbortSignal.timeout(response_wait_max_ms), cache: "no-store"});
  return [response.status, await response.json()];
}
// {} if huntd is older and has no such path.
async function read_if_there(path, started_at_ms) {
  if (absent[path] === started_at_ms) return {};
  const [code, json] = await read_json(path);
  if (code === 200) return json;
  absent[path] = started_at_ms;
  return {};
}
async function sample() {
  const [[, health], [, ready], [, status], [, latency]] =
    await Promise.all(["/healthz", "/readyz", "/status.json", "/latency.json"].map(read_json));
  const [{hunts, hunts_max}, {loot, tables, shown: loot_shown}, {errors}, {bundles}] =
    await Promise.all(["/hunts.json", "/loot.json", "/errors.json", "/bundles.json"].map((path) => read_if_there(path, status.started_at_ms)));
  return {health, ready, status, latency, hunts, hunts_max, loot, tables, loot_shown, errors, bundles};
}
function keep(interval, figures) {
  if (!interval) return;
  const sources = interval.sources.length;
  if (columns.length && columns[0].sources.length !== sources) columns = [];
  columns.push({...kept_of(interval), figures});
  const most = Math.min(columns_max, Math.floor(kept_histograms_max / (sources * interval.sources[0].length)));
  while (columns.length > most || columns[0].from_ms < interval.to_ms - history_ms_max) columns.shift();
  if (moment && !columns.includes(moment)) moment = null;
}
function take(taken) {
  before = now;
  now = taken;
  const {status, latency} = now;
  const names = Object.keys(latency.all.stages);
  const interval = latency_between(before?.latency, latency);
  const activity = activity_between(before?.status, status);
  const figures = trend_figures(status, activity, interval && Object.fromEntries(names.map((name, i) => [name, interval.sources[0][i]])));
  keep(interval, figures);
  set_options(by_id("core"), [["all", "all together"], ["each", "each core"],
    ...latency.cores.map(({core}) => [String(core), `core ${core}`])]);
  set_options(by_id("stage"), [["each", "each stage"], ...names.map((name) => [name, stage_text(name)])]);
  show_head(now);
  show_attention(now, "");
  show_tiles(status, figures, heat_colours());
  show_scripts(status);
  show_stages(names, interval);
  show_cores(now, names, interval, activity);
  show_servers(status);
  show_outcomes(status, activity);
  show_hunts();
  show_loot();
  show_errors(now);
  show_bundles(now);
  show_moment();
  show_maps(names);
  mark_scrollable();
}
async function refresh() {
  clearTimeout(timer);
  try {
    take(await sample());
  } catch (error) {
    for (const id of ["healthy", "ready"]) show_badge(id, false, "", "no response");
    if (now) show_attention(now, String(error.message ?? error));
    else by_id("about").textContent = `no figures: ${error.message ?? error}`;
  }
  clearTimeout(timer);  // of a refresh that ended meanwhile: one loop only
  if (!paused) timer = setTimeout(refresh, Number(by_id("refresh").value));
}
function redraw() {
  if (!now) return;
  show_maps(Object.keys(now.latency.all.stages));
  if (columns.length) show_tiles(now.status, columns.at(-1).figures, heat_colours());
  mark_scrollable();
}

by_id("pause").onclick = () => {
  paused = !paused;
  by_id("pause").textContent = paused ? "Resume" : "Pause";
  clearTimeout(timer);
  if (!paused) refresh();
};
by_id("refresh").onchange = () => { if (!paused) refresh(); };
by_id("core").onchange = by_id("stage").onchange = redraw;
by_id("all_columns").onchange = mark_scrollable;
by_id("moment").oninput = (event) => {
  const at = Number(event.target.value);
  choose_moment(at === columns.length - 1 ? null : columns[at]);
};
matchMedia("(prefers-color-scheme: dark)").onchange = redraw;
new ResizeObserver(redraw).observe(document.body);
if (reduced_motion.matches) by_id("refresh").value = "10000";
refresh();
