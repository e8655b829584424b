// Distribution of per-gene correlation, and the genes at its ends.
const ENDS = 10;

function density(values, low, high, bins) {
  const counts = new Array(bins).fill(0);
  const step = (high - low) / bins;
  const spread = Math.max(step, (high - low) / 45);
  for (const value of values) for (let i = 0; i < bins; i += 1) counts[i] += Math.exp(-0.5 * ((low + (i + 0.5) * step - value) / spread) ** 2);
  return counts;
}
function quantile(sorted, q) {
  const at = (sorted.length - 1) * q;
  const [below, above] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return below + (above - below) * (at - Math.floor(at));
}

function drawGenes() {
  const place = byId("gene-plot");
  const shown = shownVariants().filter(({ index }) => task().gene_values[index]).slice(0, 12);
  if (!shown.length) return place.replaceChildren(el("p", { class: "quiet" }, "No values per gene."));
  const width = widthOf("gene-plot");
  const left = width < 600 ? 104 : 210;
  const right = width - 8;
  const rowHeight = 54;
  const bottom = 6 + rowHeight * shown.length;
  const kept = shown.map(({ index }) => task().gene_values[index].filter((value) => value !== null).sort((a, b) => a - b));
  const [low, high] = padded(kept.flatMap((values) => [values[0], values[values.length - 1]]));
  const x = (value) => left + ((value - low) / (high - low)) * (right - left);
  const chosen = task().genes.indexOf(state.gene);
  const rows = shown.map(({ variant, index }, i) => {
    const base = 6 + rowHeight * (i + 1) - 12;
    const values = kept[i];
    const spreads = values[values.length - 1] - values[0] > 1e-9;
    const curve = density(values, low, high, 120);
    const peak = Math.max(...curve);
    const outline = curve.map((v, j) => `${x(low + ((j + 0.5) / 120) * (high - low)).toFixed(1)},${(base - (v / peak) * (rowHeight - 18)).toFixed(1)}`);
    const [q1, q2, q3] = [0.25, 0.5, 0.75].map((q) => quantile(values, q));
    const mark = chosen < 0 ? null : task().gene_values[index][chosen];
    return svg("g", { class: variant.control ? "control" : null },
      svg("text", { x: 4, y: base - 4 }, clipped(variant.name, left / 7.2)),
      spreads ? svg("polygon", { class: "density", points: `${x(low)},${base} ${outline.join(" ")} ${x(high)},${base}` }) : null,
      svg("line", { class: "box", x1: x(q1), x2: x(q3), y1: base + 3, y2: base + 3 }), svg("line", { class: "median", x1: x(q2), x2: x(q2), y1: base - 4, y2: base + 8 }),
      mark === null || mark === undefined ? null : svg("path", { class: "diamond", d: `M${x(mark)} ${base - 4}l5 6l-5 6l-5 -6z` }),
      svg("title", null, `${variant.name}: median ${number(q2)}, quartiles ${number(q1)} and ${number(q3)}, ${values.length} genes`));
  });
  place.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${bottom + 42}`, role: "img", "aria-label": "Distribution of correlation over genes" },
    xAxis(x, ticks(low, high, width < 600 ? 4 : 8), 0, bottom, `Pearson's r per gene${chosen < 0 ? "" : `; diamond: ${state.gene}`}`, (left + right) / 2), rows));
}

function drawGeneTables() {
  const values = task().gene_values[state.geneModel] || [];
  options(byId("gene-model"), task().variants.map((variant, i) => [String(i), variant.name]), String(state.geneModel));
  const order = task().genes.map((_, i) => i).filter((i) => values[i] !== null && values[i] !== undefined).sort((a, b) => values[b] - values[a]);
  const others = task().variants.map((_, i) => i).filter((i) => i !== state.geneModel && task().gene_values[i]).slice(0, 3);
  geneTable("best-genes", order.slice(0, ENDS), others);
  geneTable("worst-genes", order.slice(-ENDS).reverse(), others);
}

function geneTable(id, genes, others) {
  const columns = [state.geneModel, ...others];
  const drawn = new Map(); // gene → first slide that has a map of it, the present one first
  const slides = task().slides;
  for (const at of [state.slide, ...slides.keys()]) for (const gene of Object.keys(slides[at]?.genes || {})) if (!drawn.has(gene)) drawn.set(gene, at);
  byId(id).replaceChildren(
    el("thead", null, el("tr", null, el("th", { scope: "col", class: "text" }, "Gene"), columns.map((i) => el("th", { scope: "col" }, task().variants[i].name)))),
    el("tbody", null, genes.map((g) => {
      const gene = task().genes[g];
      const name = drawn.has(gene)
        ? el("button", { type: "button", class: "gene", title: "show its map", onclick: () => { chooseSlide(drawn.get(gene)); state.gene = gene; drawAll(); byId("maps").scrollIntoView(); } }, gene) : gene;
      return el("tr", null, el("th", { scope: "row", class: "text" }, name), columns.map((i) => el("td", null, number(task().gene_values[i]?.[g], 2))));
    })));
}
