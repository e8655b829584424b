// Interval plot and accuracy against cost, as inline SVG at the width there is.
const MOST = 40;
const COSTS = [["fit_seconds", "training time (s per fold)"], ["predict_seconds", "prediction time (s per fold)"],
  ["peak_memory_mb", "peak memory (MB)"], ["peak_gpu_memory_mb", "peak GPU memory (MB)"], ["n_parameters", "trainable parameters"]];

function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= raw);
  const found = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-6; t += step) found.push(Math.abs(t) < step * 1e-6 ? 0 : t);
  return found;
}
const tickText = (value) => String(+value.toPrecision(6)).replace("-", "−");
const padded = (values) => {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - margin, high + margin];
};
const clipped = (text, n) => (text.length > n ? `${text.slice(0, n - 1)}…` : text);
const widthOf = (id) => Math.max(280, byId(id).clientWidth);

function xAxis(scale, marks, top, bottom, title, middle, text = tickText) {
  return [...marks.flatMap((t) => [svg("line", { class: "axis", x1: scale(t), x2: scale(t), y1: top, y2: bottom }),
    svg("text", { class: "faint", x: scale(t), y: bottom + 16, "text-anchor": "middle" }, text(t))]),
  svg("text", { class: "faint", x: middle, y: bottom + 34, "text-anchor": "middle" }, title)];
}

function drawIntervals() {
  const all = shownVariants();
  const entries = all.slice(0, MOST);
  const place = byId("interval-plot");
  if (!entries.length) return place.replaceChildren();
  const width = widthOf("interval-plot");
  const left = width < 600 ? 104 : 210;
  const right = width - 8;
  const references = Object.entries(board().references);
  const top = 8 + 15 * references.length;
  const rowHeight = 28;
  const bottom = top + rowHeight * entries.length;
  const [low, high] = padded([...entries.flatMap(({ row }) => [row.value, row.ci_low ?? row.value, row.ci_high ?? row.value]), ...references.map((r) => r[1])]);
  const x = (value) => left + ((value - low) / (high - low)) * (right - left);
  const rows = entries.map(({ variant, row }, i) => {
    const y = top + rowHeight * (i + 0.5);
    const told = `${variant.name}: ${number(row.value)} (${interval(row)})`;
    return svg("g", { class: variant.control ? "control" : null },
      row.tied_with_best ? svg("rect", { class: "band", x: 0, y: y - rowHeight / 2, width: right, height: rowHeight }) : null,
      svg("text", { x: 4, y: y + 4 }, clipped(variant.name, left / 7.2)),
      row.ci_low === null ? null : svg("line", { class: "whisker", x1: x(row.ci_low), x2: x(row.ci_high), y1: y, y2: y }),
      svg("circle", { class: "dot", cx: x(row.value), cy: y, r: 5 }), svg("title", null, told));
  });
  const lines = references.flatMap(([name, value], i) => [
    svg("line", { class: "reference", x1: x(value), x2: x(value), y1: 15 * i + 12, y2: bottom }),
    svg("text", { class: "reference", x: x(value) + (x(value) > (left + right) / 2 ? -5 : 5), y: 15 * i + 12, "text-anchor": x(value) > (left + right) / 2 ? "end" : "start" }, name)]);
  const bands = rows.map((row) => row.querySelector("rect")).filter(Boolean);
  place.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${bottom + 42}`, role: "img", "aria-label": `Intervals of ${entries.length} models` },
    bands, xAxis(x, ticks(low, high, width < 600 ? 4 : 8), top, bottom, state.metric, (left + right) / 2), lines, rows));
  if (all.length > MOST) place.append(el("p", { class: "quiet" }, `The first ${MOST} of ${all.length}; the filter above brings others here.`));
}

function drawCost() {
  const place = byId("cost-plot");
  const available = COSTS.filter(([id]) => task().variants.some((variant) => variant[id] > 0));
  if (!available.some(([id]) => id === state.cost) && available.length) state.cost = available[0][0];
  options(byId("cost-kind"), available, state.cost);
  const entries = shownVariants().filter(({ variant }) => variant[state.cost] > 0);
  if (!entries.length) return place.replaceChildren(el("p", { class: "quiet" }, "No cost was measured."));
  const width = widthOf("cost-plot");
  const [left, right, top, bottom] = [52, width - 16, 10, width < 600 ? 260 : 360];
  const logs = padded(entries.map(({ variant }) => Math.log10(variant[state.cost])));
  if (logs[1] - logs[0] < 0.5) { logs[0] -= 0.25; logs[1] += 0.25; }
  const [low, high] = padded(entries.flatMap(({ row }) => [row.value, row.ci_low ?? row.value, row.ci_high ?? row.value]));
  const x = (value) => left + ((Math.log10(value) - logs[0]) / (logs[1] - logs[0])) * (right - left);
  const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
  const decades = [];
  for (let d = Math.floor(logs[0]); d <= logs[1]; d += 1) for (const m of [1, 2, 5]) decades.push(m * 10 ** d);
  const within = decades.filter((v) => Math.log10(v) >= logs[0] && Math.log10(v) <= logs[1]);
  const marks = within.length > (width < 600 ? 5 : 9) ? within.filter((v) => Number.isInteger(+Math.log10(v).toFixed(9))) : within;
  const sign = direction(state.metric) === "max" ? 1 : -1;
  const byCost = [...entries].sort((a, b) => a.variant[state.cost] - b.variant[state.cost] || sign * (b.row.value - a.row.value));
  const front = [];
  for (const entry of byCost) if (!front.length || sign * entry.row.value > sign * front[front.length - 1].row.value) front.push(entry);
  const points = entries.map((entry) => {
    const { variant, row } = entry;
    const [cx, cy] = [x(variant[state.cost]), y(row.value)];
    const named = entries.length <= 15 || front.includes(entry);
    const end = cx > (left + right) / 2;
    return svg("g", { class: variant.control ? "control" : null },
      row.ci_low === null ? null : svg("line", { class: "whisker", "stroke-opacity": 0.45, x1: cx, x2: cx, y1: y(row.ci_low), y2: y(row.ci_high) }),
      svg("circle", { class: "dot", cx, cy, r: 6 }),
      named ? svg("text", { x: cx + (end ? -10 : 10), y: cy - 8, "text-anchor": end ? "end" : "start" }, clipped(variant.name, 26)) : null,
      svg("title", null, `${variant.name}: ${number(row.value)}, ${short(variant[state.cost])}`));
  });
  const levels = ticks(low, high, 6).flatMap((t) => [svg("line", { class: "axis", x1: left, x2: right, y1: y(t), y2: y(t) }),
    svg("text", { class: "faint", x: left - 6, y: y(t) + 4, "text-anchor": "end" }, tickText(t))]);
  place.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${bottom + 42}`, role: "img", "aria-label": `${state.metric} against cost` },
    levels, xAxis(x, marks, top, bottom, `${Object.fromEntries(COSTS)[state.cost]}, logarithmic; vertical: ${state.metric}`, (left + right) / 2, short),
    svg("polyline", { class: "front", points: front.map((e) => `${x(e.variant[state.cost])},${y(e.row.value)}`).join(" ") }), points));
}
