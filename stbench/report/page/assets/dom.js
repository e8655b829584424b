// Building elements. Text is always set as text: nothing that comes from data is parsed as HTML.
const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function options(select, choices, chosen) {
  select.replaceChildren(...choices.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
}

const number = (value, digits = 3) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace("-", "−"));
const short = (value) =>
  value === null || value === undefined ? "–"
    : value >= 1e6 ? `${+(value / 1e6).toPrecision(3)} M`
    : value >= 1e4 ? `${+(value / 1e3).toPrecision(3)} k`
    : value >= 100 ? String(Math.round(value)) : `${+value.toPrecision(2)}`;
const interval = (row) => (row.ci_low === null ? `one ${row.n_units === 1 ? "unit" : "value"}: no interval` : `${number(row.ci_low)} to ${number(row.ci_high)}`);

function showTip(event, text) {
  const tip = byId("tip");
  tip.textContent = text;
  tip.hidden = false;
  const right = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 6);
  tip.style.left = `${Math.max(6, right)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 6)}px`;
}
const hideTip = () => { byId("tip").hidden = true; };
