// The data, what of it is chosen, and the address that says so.
const data = JSON.parse(byId("data").textContent);
const state = { task: 0, metric: "", filter: "", controls: true, sort: "rank", up: true, cost: "fit_seconds",
  geneModel: 0, slide: 0, gene: "", tissue: true, ownScale: false, hidden: new Set() };

const task = () => data.tasks[state.task];
const direction = (metric) => (data.metrics[metric] || { direction: "max" }).direction;
const board = () => task().metrics[state.metric];
const colour = (index) => data.palette.categories[index % data.palette.categories.length];

// Variants that pass the filter and have the metric, best first; those without a rank come last.
function shownVariants() {
  const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = board().rows;
  return task().variants.map((variant, index) => ({ variant, index, row: rows[index] }))
    .filter(({ row, variant }) => row && (state.controls || !variant.control))
    .filter(({ variant }) => {
      const text = [variant.name, ...variant.badges, variant.control ? "control" : "", ...Object.entries(variant.params).map(([name, value]) => `${name}=${value}`)].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    })
    .sort((a, b) => (a.row.rank ?? 1e9) - (b.row.rank ?? 1e9));
}

function chooseTask(index) {
  state.task = data.tasks[index] ? index : 0;
  if (!task().metrics[state.metric]) state.metric = task().headline;
  state.geneModel = Math.max(0, task().variants.findIndex((variant) => !variant.control));
  chooseSlide(0);
  state.hidden.clear();
}

function chooseSlide(index) {
  state.slide = task().slides[index] ? index : 0;
  const slide = task().slides[state.slide];
  if (slide && !slide.genes[state.gene]) state.gene = Object.keys(slide.genes)[0] || "";
}

function remember() {
  const kept = new URLSearchParams({ task: state.task, metric: state.metric, slide: state.slide, gene: state.gene });
  history.replaceState(null, "", `#${kept}`);
}

function recall() {
  const kept = new URLSearchParams(location.hash.slice(1));
  state.metric = kept.get("metric") || "";
  chooseTask(Number(kept.get("task")) || 0);
  chooseSlide(Number(kept.get("slide")) || 0);
  const slide = task().slides[state.slide];
  if (slide && slide.genes[kept.get("gene")]) state.gene = kept.get("gene");
}
