// What to check before believing a number: leaks, failures, versions, what was left out.
const MEANING = { same_patient: "a patient is in training and test", same_image: "an image is in training and test",
  same_slide: "a slide is in training and test", target_saw_test: "the panel or a transform was fitted with test slides",
  truth_modified: "the truth was imputed, smoothed or batch-corrected", selected_on_test: "parameters or a checkpoint were chosen on test slides",
  encoder_saw_test: "the image encoder was trained on these slides" };
const SIGN = { yes: "● yes", no: "○ no", unknown: "? unknown" };

function drawLedger() {
  const kinds = [...new Set([...Object.keys(MEANING), ...task().ledger.flatMap((entries) => Object.keys(entries))])];
  byId("ledger-table").replaceChildren(
    el("thead", null, el("tr", null, el("th", { scope: "col", class: "model" }, "Model"), kinds.map((kind) => el("th", { scope: "col", title: MEANING[kind] }, kind.replaceAll("_", " "))))),
    el("tbody", null, task().variants.map((variant, i) => el("tr", null, el("th", { scope: "row", class: "model" }, variant.name),
      kinds.map((kind) => { const entry = task().ledger[i][kind] || "unknown"; return el("td", { class: entry }, SIGN[entry]); })))));
}

function drawFailures() {
  const place = byId("failure-list");
  if (!data.failures.length) return place.replaceChildren(el("p", { class: "quiet" }, "Every cell that was tried has finished."));
  const head = ["Data set", "Protocol", "Fold", "Model", "Seed", "Status", "Stage", "Message", "Run"];
  place.replaceChildren(el("p", { class: "quiet" }, `${data.failures.length} cells never finished; stbench show RUN prints a traceback.`),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Failures" }, el("table", null, el("thead", null, el("tr", null, head.map((title) => el("th", { scope: "col", class: "text" }, title)))),
      el("tbody", null, data.failures.map((f) => el("tr", null,
        [f.dataset, f.protocol, f.fold, f.model, f.seed ?? "–", f.status, f.stage || "–"].map((text) => el("td", { class: "text" }, String(text))),
        el("td", { class: "message" }, f.message || "–"), el("td", { class: "text" }, el("code", null, f.run_id))))))));
}

function drawAbout() {
  const head = ["Data set", "Revision", "Protocol", "Version", "Runs", "Made with stbench", "Devices"];
  byId("versions").replaceChildren(el("thead", null, el("tr", null, head.map((title) => el("th", { scope: "col", class: "text" }, title)))),
    el("tbody", null, data.tasks.map((t) => el("tr", null,
      [t.dataset, t.versions.dataset_revision, t.protocol, t.versions.protocol_version, t.versions.runs, t.versions.stbench.join(", ") || "–", t.versions.devices.join(", ")]
        .map((text) => el("td", { class: "text" }, String(text)))))));
  const list = (title, lines) => (lines.length ? [el("h3", null, title), el("ul", null, lines.map((line) => el("li", null, line)))] : []);
  byId("notes").replaceChildren(...list("Notes", data.about.notes), ...list("Left out of this page", data.about.left_out),
    el("p", { class: "quiet" }, `Store ${data.about.store}, page made on ${data.about.date} by stbench ${data.about.version}. This page loads nothing from anywhere.`));
}
