// Truth and predictions of one gene on one slide, and regions beside labels.
const variantName = (key) => task().variants.find((variant) => variant.key === key)?.name || key;

function valueAt(column, spot) {
  const level = levels(column)[spot];
  return level === 255 ? null : column.low + (level / 254) * (column.high - column.low);
}

function painter(column, low, high) {
  const colours = data.palette.expression;
  return (spot) => {
    const value = valueAt(column, spot);
    if (value === null) return null;
    return colours[Math.max(0, Math.min(255, Math.round(((value - low) / (high - low || 1)) * 255)))];
  };
}

// What a model said between and around the spots, in squares of its own.
function drawFine(place, slide, key, ends) {
  const fine = slide.fine[key];
  const column = fine?.genes[state.gene];
  if (!column) return;
  const squares = { ...slide, ...fine, square: true };
  const say = (at) => `${state.gene}\n${variantName(key)} ${number(valueAt(column, at), 2)}`;
  panel(place, squares, `${variantName(key)}, between the spots`, `${fine.x.length} squares of ${fine.side_um} µm`, state.tissue, painter(column, ...ends(column)), say);
}

function drawMaps() {
  const slide = task().slides[state.slide];
  const place = byId("map-panels");
  const before = [window.scrollX, window.scrollY];
  place.style.minHeight = `${place.offsetHeight}px`;
  place.replaceChildren();
  if (!slide) { byId("map-legend").replaceChildren(); byId("map-notes").textContent = "No slide can be drawn: no run here kept its predictions."; place.style.minHeight = ""; return; }
  const gene = slide.genes[state.gene];
  if (slide.image) panel(place, slide, "H&E", "", true, null, null);
  if (gene) {
    const shown = Object.keys(gene.models).filter((key) => !state.hidden.has(key));
    const say = (spot) => [`${state.gene}`, `truth ${number(valueAt(gene.truth, spot), 2)}`,
      ...shown.map((key) => `${variantName(key)} ${number(valueAt(gene.models[key], spot), 2)}`)].join("\n");
    const [low, high] = gene.scale;
    const ends = (column) => (state.ownScale ? [column.low, column.high] : [low, high]);
    const scaleText = (column) => (state.ownScale ? `${number(column.low, 2)} to ${number(column.high, 2)}` : "");
    panel(place, slide, "Truth", scaleText(gene.truth), state.tissue, painter(gene.truth, ...ends(gene.truth)), say);
    for (const key of shown) {
      const column = gene.models[key];
      const remark = [`r ${number(column.pcc, 2)}`, scaleText(column)].filter(Boolean).join(", ");
      panel(place, slide, variantName(key), remark, state.tissue, painter(column, ...ends(column)), say);
      drawFine(place, slide, key, ends);
    }
    const colours = data.palette.expression.filter((_, i) => i % 15 === 0).join(",");
    byId("map-legend").replaceChildren(el("span", null, state.ownScale ? "lowest" : `≤ ${number(low, 2)}`),
      el("span", { class: "ramp", style: `background:linear-gradient(90deg,${colours})` }), el("span", null, state.ownScale ? "highest" : `≥ ${number(high, 2)}`),
      el("span", { class: "quiet" }, `${state.gene}, in the protocol's units${state.ownScale ? "; colours do not compare between panels" : "; one scale for truth and all models"}`));
  } else byId("map-legend").replaceChildren();
  byId("map-notes").textContent = [
    slide.image ? "" : `No H&E image: ${slide.image_missing}.`,
    slide.n_parts > 1 ? `Every spot is shown as predicted by the fold that did not train on it (${slide.n_parts} folds); r is the mean over folds.` : "",
    "Predictions are smoother than truth: what they do not explain shrinks them towards the mean.",
  ].filter(Boolean).join(" ");
  place.style.minHeight = "";
  window.scrollTo(...before);
}

function drawMapControls() {
  const slides = task().slides;
  const slide = slides[state.slide];
  options(byId("slide"), slides.map((s, i) => [String(i), `${s.id}${s.patient && s.patient !== s.id ? ` (${s.patient})` : ""}`]), String(state.slide));
  options(byId("gene"), Object.keys(slide?.genes || {}).map((name) => [name, name]), state.gene);
  const keys = slide ? Object.keys(Object.values(slide.genes)[0]?.models || {}) : [];
  byId("map-models").hidden = !keys.length;
  byId("map-models").replaceChildren(el("legend", null, "Models"), ...keys.map((key) => el("label", null,
    el("input", { type: "checkbox", checked: !state.hidden.has(key), onchange: (event) => { state.hidden[event.target.checked ? "delete" : "add"](key); drawMaps(); } }),
    variantName(key))));
}

function drawRegions() {
  const place = byId("region-panels");
  place.replaceChildren();
  const slides = task().slides.filter((slide) => slide.regions);
  const labels = [...new Set(slides.flatMap((slide) => slide.regions.labels))].sort();
  for (const slide of slides) {
    const own = slide.regions;
    const at = own.labels.map((label) => labels.indexOf(label));
    const paint = (codes) => (spot) => (codes[spot] < 0 ? null : colour(at[codes[spot]]));
    const say = (codes) => (spot) => (own.codes[spot] < 0 ? "no label" : `label: ${own.labels[own.codes[spot]]}${codes === own.codes ? "" : `\ncluster like: ${codes[spot] < 0 ? "none" : own.labels[codes[spot]]}`}`);
    panel(place, slide, `${slide.id}: annotation`, "", false, paint(own.codes), say(own.codes));
    for (const [key, map] of Object.entries(own.maps)) panel(place, slide, key ? variantName(key) : "measured expression", `ARI ${number(map.ari, 2)}`, false, paint(map.codes), say(map.codes));
  }
  byId("region-legend").replaceChildren(...labels.map((label, i) => el("span", null, el("i", { class: "swatch", style: `background:${colour(i)}` }), label)));
  byId("region-notes").textContent = slides.length ? "" : "No slide drawn here has annotated regions.";
}
