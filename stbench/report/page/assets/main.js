// Wiring: what a change redraws.
function drawAll() {
  options(byId("task"), data.tasks.map((t, i) => [String(i), `${t.dataset} · ${t.protocol}`]), String(state.task));
  options(byId("metric"), Object.keys(task().metrics).map((name) => [name, name]), state.metric);
  drawScores();
  drawGeneTables();
  drawMapControls();
  drawMaps();
  drawRegions();
  drawLedger();
  remember();
}
function drawScores() { drawBoard(); drawIntervals(); drawCost(); drawGenes(); }

function on(id, event, change, draw) {
  byId(id).addEventListener(event, (happened) => { change(happened.target); draw(); remember(); });
}

function theme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const label = () => { byId("theme").textContent = dark() ? "Light" : "Dark"; byId("theme").setAttribute("aria-pressed", String(dark())); };
  const redraw = () => { label(); if (data.tasks.length) { drawMaps(); drawRegions(); } };
  byId("theme").addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; redraw(); });
  system.addEventListener("change", redraw);
  label();
}

function start() {
  theme();
  drawFailures();
  if (!data.tasks.length) return;
  recall();
  on("task", "change", (t) => chooseTask(Number(t.value)), drawAll);
  on("metric", "change", (t) => { state.metric = t.value; state.sort = "rank"; state.up = true; }, drawScores);
  on("filter", "input", (t) => { state.filter = t.value; }, drawScores);
  on("controls", "change", (t) => { state.controls = t.checked; }, drawScores);
  on("cost-kind", "change", (t) => { state.cost = t.value; }, drawCost);
  on("gene-model", "change", (t) => { state.geneModel = Number(t.value); }, drawGeneTables);
  on("slide", "change", (t) => chooseSlide(Number(t.value)), () => { drawMapControls(); drawMaps(); drawGenes(); });
  on("gene", "change", (t) => { state.gene = t.value; }, () => { drawMaps(); drawGenes(); });
  on("tissue", "change", (t) => { state.tissue = t.checked; }, drawMaps);
  on("own-scale", "change", (t) => { state.ownScale = t.checked; }, drawMaps);
  drawRanks();
  drawAbout();
  drawAll();
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawScores(); drawMaps(); drawRegions(); } });
}
start();
