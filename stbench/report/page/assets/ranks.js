// Ranks of every model under every metric of every task: a table coloured as a heat map.
function drawRanks() {
  const names = new Map(); // by key; a variant has one name for all tasks unless its siblings differ
  for (const t of data.tasks) for (const variant of t.variants) if (!names.has(variant.key)) names.set(variant.key, variant);
  const ranked = (t, name) => t.metrics[name].rows.some((row) => row?.rank); // not what describes the truth or a spread
  const columns = data.tasks.map((t) => ({ task: t, metrics: Object.keys(t.metrics).filter((name) => ranked(t, name)) }));
  const rankIn = (t, metric, key) => t.metrics[metric].rows[t.variants.findIndex((variant) => variant.key === key)]?.rank ?? null;
  const means = [...names.keys()].map((key) => {
    const ranks = data.tasks.map((t) => rankIn(t, t.headline, key));
    return [key, ranks.includes(null) ? null : ranks.reduce((a, b) => a + b, 0) / ranks.length];
  });
  means.sort((a, b) => (a[1] ?? 1e9) - (b[1] ?? 1e9));
  const groups = columns.map(({ task: t, metrics }) => el("th", { scope: "colgroup", colspan: metrics.length, class: "task" }, `${t.dataset} · ${t.protocol}`));
  const titles = columns.flatMap(({ metrics }) => metrics.map((name) => el("th", { scope: "col", class: "metric", title: data.metrics[name]?.title }, name)));
  const body = means.map(([key, mean]) => el("tr", null,
    el("th", { scope: "row", class: "model" }, names.get(key).name), el("td", { class: "rank" }, mean === null ? "–" : number(mean, 1)),
    columns.flatMap(({ task: t, metrics }) => metrics.map((name) => rankCellOf(t, name, rankIn(t, name, key))))));
  byId("rank-table").replaceChildren(
    el("thead", null, el("tr", null, el("td", { class: "model" }), el("td"), groups),
      el("tr", null, el("th", { scope: "col", class: "model" }, "Model"), el("th", { scope: "col", class: "metric" }, "mean rank"), titles)),
    el("tbody", null, body));
}

function rankCellOf(t, name, rank) {
  if (rank === null) return el("td", { class: "rank" }, "–");
  const last = Math.max(2, ...t.metrics[name].rows.map((row) => row?.rank ?? 0));
  const level = Math.round(235 - (rank - 1) / (last - 1) * 200);
  const row = t.metrics[name].rows.find((r) => r?.rank === rank);
  return el("td", { class: "rank", title: `${name}: ${number(row.value)}`, style: `background:${data.palette.expression[level]};color:${level > 130 ? "#111" : "#fff"}` }, String(rank));
}
