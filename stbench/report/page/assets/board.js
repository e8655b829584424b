// The leaderboard: a table that sorts and filters.
const BESIDE = ["pcc", "r2", "mse", "pcc_spot"];
const LEAKS = /same|saw|selected|failed|file/;

function boardColumns() {
  const beside = BESIDE.filter((name) => name !== state.metric && task().metrics[name]);
  const columns = [
    { id: "rank", title: "Rank", of: ({ row }) => row.rank, cell: rankCell },
    { id: "model", title: "Model", of: ({ variant }) => variant.name, cell: modelCell },
    { id: "value", title: state.metric, best: direction(state.metric), of: ({ row }) => row.value, cell: valueCell },
    ...beside.map((name) => ({
      id: name, title: name, best: direction(name), hint: data.metrics[name]?.title,
      of: ({ index }) => task().metrics[name].rows[index]?.value ?? null,
      cell: (entry) => el("td", null, number(task().metrics[name].rows[entry.index]?.value)),
    })),
    { id: "coverage", title: "Coverage", hint: "share of the task's test parts that was predicted", best: "max",
      of: ({ variant }) => variant.coverage, cell: ({ variant }) => el("td", null, `${Math.round(100 * variant.coverage)} %`) },
    { id: "units", title: "Units", of: ({ row }) => row.n_units,
      cell: ({ row }) => el("td", null, `${row.n_units} ${board().unit}${row.n_units === 1 ? "" : "s"}`) },
    plain("fit_seconds", "Train s", "mean over folds"), plain("predict_seconds", "Predict s", "mean over folds"),
    plain("peak_memory_mb", "Peak MB", "largest resident memory of a run"), plain("n_parameters", "Parameters", "trainable"),
  ];
  if (board().rows.some((row) => row && row.published !== null)) {
    columns.splice(3, 0, { id: "published", title: "Published", hint: "what the paper reports under this protocol",
      of: ({ row }) => row.published, cell: ({ row }) => el("td", null, number(row.published)) });
  }
  return columns;
}
const plain = (id, title, hint) => ({ id, title, hint, of: ({ variant }) => variant[id], cell: ({ variant }) => el("td", null, short(variant[id])) });

const rankCell = ({ row }) => {
  const tied = row.tied_with_best && row.rank !== 1;
  const hint = row.rank === null ? "not ranked: other folds or less coverage than the rest"
    : tied ? `not told from the best${row.p_holm === null ? "" : ` (p ${row.p_holm.toPrecision(2)}, Holm)`}` : null;
  return el("td", { title: hint }, row.rank === null ? "–" : `${row.rank}${tied ? " ≈" : ""}`);
};
const modelCell = ({ variant, row }) => el("th", { scope: "row", class: "model" }, variant.name, el("br"), ...badges(variant, row));
const valueCell = ({ row }) => el("td", null, el("b", null, number(row.value)), el("br"), el("span", { class: "interval" }, interval(row)));

function badges(variant, row) {
  const marks = [...(variant.control ? ["control"] : []), ...variant.badges, ...(row.rank === null ? ["incomplete"] : [])];
  return marks.map((text) => el("span", { class: LEAKS.test(text) ? "badge warns" : "badge", title: meaning(text) }, text));
}
function meaning(text) {
  if (text === "control") return "a baseline that every method has to beat";
  if (text === "random weights") return "its image encoder was not pre-trained";
  if (text === "incomplete") return "covers fewer folds or spots than the others: shown, not ranked";
  if (text.startsWith("preset")) return "a named set of parameters";
  if (text === "scored from a file") return "predictions made elsewhere: what cannot be known of them reads unknown in the ledger";
  if (text.endsWith("failed")) return "cells that never succeeded; see Failures";
  return `leak ledger: ${text}`;
}

function drawBoard() {
  const columns = boardColumns();
  const column = columns.find(({ id }) => id === state.sort) || columns[0];
  const entries = shownVariants();
  const sign = state.up ? 1 : -1;
  entries.sort((a, b) => {
    const [x, y] = [column.of(a), column.of(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
  });
  const head = columns.map((c) => el("th",
    { scope: "col", class: c.id === "model" ? "model" : null, title: c.hint, "aria-sort": c === column ? (state.up ? "ascending" : "descending") : null },
    el("button", { type: "button", "data-sort": c.id, onclick: () => sortBy(c) }, c.title)));
  const body = entries.map((entry) => el("tr", { class: entry.row.tied_with_best ? "tied" : null }, columns.map((c) => c.cell(entry))));
  const focused = document.activeElement?.dataset?.sort;
  byId("board").replaceChildren(el("thead", null, el("tr", null, head)), el("tbody", null, body));
  if (focused) byId("board").querySelector(`[data-sort="${focused}"]`)?.focus();
  const all = board().rows.filter(Boolean).length;
  byId("count").textContent = `${entries.length} of ${all} model${all === 1 ? "" : "s"}`;
  const known = data.metrics[state.metric];
  byId("metric-title").textContent = `${state.metric}: ${known ? known.title : "a metric of a plugin that is not installed here"} (${direction(state.metric) === "max" ? "higher" : "lower"} is better)`;
  const lines = Object.entries(board().references).map(([name, value]) => `${name} ${number(value)}`);
  const several = board().rows.some((row) => row && row.n_units > 1);
  byId("board-notes").textContent = [`≈ and shading: not told from the best${several ? " by a paired test" : ": one unit tells nothing apart"}.`,
    lines.length ? `Reference lines, computed from the truth and not ranked: ${lines.join(", ")}.` : ""].join(" ");
}

function sortBy(column) {
  state.up = state.sort === column.id ? !state.up : column.best !== "max";
  state.sort = column.id;
  drawBoard();
}
