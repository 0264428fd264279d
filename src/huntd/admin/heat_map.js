// SPDX-License-Identifier: Apache-2.0
// Draws one heat map: time to the right, latency upwards on a logarithmic axis, the darker (in dark mode: the lighter) the more
// values. In front of it the histogram since the start, on the same axis.

const axis_px = 52, strip_px = 44, foot_px = 18, head_px = 6;  // CSS pixels around the map
const shades = 24;

function heat_colours() {
  const style = getComputedStyle(document.documentElement);
  const named = (name) => style.getPropertyValue("--" + name).trim();
  const rgb = (name) => [1, 3, 5].map((at) => parseInt(named(name).slice(at, at + 2), 16));
  const ends = [rgb("heat-few"), rgb("heat-some"), rgb("heat-many")];
  const heat = Array.from({length: shades}, (_, i) => {
    const at = 2 * i / (shades - 1), from = Math.min(1, Math.floor(at));
    return `rgb(${ends[from].map((low, part) => Math.round(low + (ends[from + 1][part] - low) * (at - from))).join(",")})`;
  });
  return {heat, ink: named("ink"), faint: named("faint"), line: named("line"), card: named("card"), p50: named("p50"),
    p99: named("p99"), bar: named("bar")};
}
// The lowest and the highest cell that the maps of a stage show: whole decades around all values, two at least.
function cell_range(found) {
  if (found.length === 0) return null;
  const decade = (n) => n * cells_per_decade;
  let from = decade(Math.floor(Math.max(0, Math.min(...found) - 1) / cells_per_decade));
  let to = decade(Math.max(1, Math.ceil(Math.max(...found) / cells_per_decade)));
  while (to - from < decade(2)) if (to < cells - 1) to += decade(1); else from -= decade(1);
  return [from, to];
}

// `map`: {columns: [{from_ms, to_ms, stage}], from_ms, to_ms, since_start: distribution, range: [cell, cell], moment: column or
// null}. `stage` is as kept_of() keeps it.
function draw_heat_map(canvas, map, colours) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const snap = (px) => Math.round(px * scale) / scale;  // no gaps between neighbours
  const left = axis_px + strip_px, right = width - 1, top = head_px, bottom = height - foot_px;
  const [from, to] = map.range;
  const area = {left, right, top, bottom,
    x: (ms) => snap(left + (right - left) * (ms - map.from_ms) / (map.to_ms - map.from_ms)),
    // Of the upper bound of a cell. The lowest row has the cell `from` too.
    y: (cell) => snap(bottom - (bottom - top) * Math.min(Math.max((cell - from + 1) / (to - from + 1), 0), 1))};
  area.y_of_us = (us) => area.y(Math.log10(Math.max(us, 1e-9)) * cells_per_decade);
  draw_axes(pen, area, map, colours);
  draw_since_start(pen, area, map, colours);
  draw_cells(pen, area, map, colours);
  draw_line(pen, area, map, "p50_us", colours.card, colours.p50);
  draw_line(pen, area, map, "p99_us", colours.card, colours.p99);
  if (!map.moment) return;
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 1;
  pen.strokeRect(area.x(map.moment.from_ms) - 0.5, top + 0.5, area.x(map.moment.to_ms) - area.x(map.moment.from_ms) + 1, bottom - top);
}
function draw_axes(pen, area, map, colours) {
  pen.font = "11px system-ui, sans-serif";
  pen.strokeStyle = colours.line;
  pen.fillStyle = colours.faint;
  pen.lineWidth = 1;
  const line = (x0, y0, x1, y1) => { pen.beginPath(); pen.moveTo(x0, y0); pen.lineTo(x1, y1); pen.stroke(); };
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (let cell = map.range[0]; cell <= map.range[1]; cell += cells_per_decade) {
    const y = Math.floor(area.y(cell)) + 0.5;
    line(axis_px - 4, y, area.right, y);
    const us = Math.round(cell_bound_us(cell));
    pen.fillText(us >= 1e6 ? us / 1e6 + " s" : us >= 1e3 ? us / 1e3 + " ms" : us + " µs", axis_px - 8, y + 0.5);
  }
  line(area.left - 0.5, area.top, area.left - 0.5, area.bottom);
  pen.textBaseline = "alphabetic";
  const foot = area.bottom + 14;
  pen.textAlign = "left";
  pen.fillText("all time", axis_px - 4, foot);
  // Whole steps of the clock, as many as have room.
  const room = (area.right - area.left) / 64;
  const step_ms = [1e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5].find((ms) => (map.to_ms - map.from_ms) / ms <= room) ?? 72e5;
  pen.textAlign = "center";
  for (let ms = Math.ceil(map.from_ms / step_ms) * step_ms; ms <= map.to_ms; ms += step_ms) {
    const x = area.x(ms);
    line(x, area.bottom, x, area.bottom + 3);
    if (x > area.left + 24 && x < area.right - 24) pen.fillText(utc_text(ms), x, foot);
  }
}
// The square root keeps a tail of few visible beside a peak of many.
function draw_since_start(pen, area, map, colours) {
  const most = Math.max(1, ...map.since_start.map(([, n]) => n));
  pen.fillStyle = colours.bar;
  for (const [bound_us, n] of map.since_start) {
    const cell = cell_of(bound_us), y = area.y(cell);
    const length = Math.max(1, (strip_px - 6) * Math.sqrt(n / most));
    pen.fillRect(axis_px - 2, y, length, area.y(cell - 1) - y);
  }
}
function draw_cells(pen, area, map, colours) {
  let most = 1;
  for (const {stage} of map.columns)
    if (stage) for (let i = 1; i < stage.counts.length; i += 2) most = Math.max(most, stage.counts[i]);
  const of_most = (shades - 1) / Math.log1p(most);
  for (const {from_ms, to_ms, stage} of map.columns) {
    if (!stage) continue;
    const x = area.x(from_ms), wide = Math.max(area.x(to_ms) - x, 0.5);
    for (let i = 0; i < stage.counts.length; i += 2) {
      const y = area.y(stage.counts[i]);
      pen.fillStyle = colours.heat[Math.round(Math.log1p(stage.counts[i + 1]) * of_most)];
      pen.fillRect(x, y, wide, area.y(stage.counts[i] - 1) - y);
    }
  }
}
// A percentile over time, on a halo that separates it from the cells.
function draw_line(pen, area, map, figure, halo, colour) {
  pen.beginPath();
  let end_ms = null;
  for (const {from_ms, to_ms, stage} of map.columns) {
    if (!stage) { end_ms = null; continue; }
    const y = area.y_of_us(stage[figure]);
    if (end_ms === from_ms) pen.lineTo(area.x(from_ms), y);
    else pen.moveTo(area.x(from_ms), y);
    pen.lineTo(area.x(to_ms), y);
    end_ms = to_ms;
  }
  pen.lineJoin = "round";
  for (const [width, style] of [[3.5, halo], [1.5, colour]]) {
    pen.lineWidth = width;
    pen.strokeStyle = style;
    pen.stroke();
  }
}
// A small line of the newest values; null: unknown.
function draw_trend(canvas, values, colours) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const most = Math.max(...values, 0);
  pen.beginPath();
  values.forEach((value, i) => {
    const x = width * (i + 1) / values.length;
    const y = height - 1 - (height - 3) * (most > 0 ? value / most : 0);
    if (i === 0) pen.moveTo(0, y);
    pen.lineTo(x, y);
  });
  pen.strokeStyle = colours.bar;
  pen.lineWidth = 1.5;
  pen.stroke();
}
