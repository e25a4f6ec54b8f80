// Choices: encoder, colour, filters, search, legend; and the counts of what they leave.
const OPEN = ["family", "modality", "split"];
const HINT = "Enter pins a match, Enter again the next.";
const boxes = {}; // dimension to its checkboxes

function applyFilters() {
  const names = Object.keys(DIMENSIONS), codes = names.map(codesOf);
  for (let i = 0; i < N; i++) state.shown[i] = names.every((d, k) => state.allowed[d][codes[k][i]]);
  for (const d of names) {
    boxes[d].forEach((box, k) => { box.checked = state.allowed[d][k]; });
    byId(`n-${d}`).textContent = `${state.allowed[d].filter(Boolean).length}/${boxes[d].length}`;
  }
  if (state.hover >= 0 && !state.shown[state.hover]) look(-1);
  for (const update of [writeCounts, writeLegend, writeFound, redraw]) update();
}

function buildFilter({ name, label, values }) {
  const total = values.map((_, k) => payload.codes[name]?.reduce((n, c) => n + (c === k), 0));
  boxes[name] = values.map(() => element("input", { type: "checkbox" }));
  const set = (flag) => { state.allowed[name] = boxes[name].map(flag); applyFilters(); };
  const button = (word, on) => element("button", {
    type: "button", ariaLabel: `${label}: ${word}`, onclick: () => set(() => on) }, word);
  const rows = values.map((value, k) => {
    boxes[name][k].onchange = () => set((box) => box.checked);
    const n = element("span", { className: "n" }, total[k] ? count(total[k]) : "");
    // Tasks that are only named or measured have no pair to be filtered.
    return element("label", { hidden: total[k] === 0 }, boxes[name][k], value, n);
  });
  const both = element("div", { className: "buttons" }, button("all", true), button("none", false));
  byId("filters").append(element("details", { open: OPEN.includes(name) },
    element("summary", {}, label, element("span", { id: `n-${name}`, className: "n" })),
    element("fieldset", { ariaLabel: label }, both, ...rows)));
}

const shownOf = (pairs) => pairs.filter((i) => state.shown[i]);

function writeCounts() {
  const there = shownOf([...Array(N).keys()]);
  const kinds = ["task", "dataset", "modality"].map((d) => {
    const n = new Set(there.map((i) => payload.codes[d][i])).size;
    return `${n} ${n === 1 ? d : DIMENSIONS[d].plural}`;
  });
  const right = there.filter((i) => state.encoder.verdict[i] === 0).length;
  byId("counts").textContent = `Shown: ${count(there.length)} of ${count(N)} pairs, ` +
    `${kinds.join(", ")}; kNN names ${count(right)} of them right.`;
}

function swatch(look) {
  const made = element("canvas", { className: "swatch", ariaHidden: "true" });
  mark(context(made, 14, 14), look, 7, 7, 4.2);
  return made;
}

function writeLegend() {
  const name = state.colour, { values, looks } = DIMENSIONS[name], codes = codesOf(name);
  const here = new Set(codes), focus = [...byId("legend").children].indexOf(document.activeElement);
  const spot = (test) => () => { state.spot = test; redraw(); };
  byId("legend").replaceChildren(...[...values.keys()].filter((k) => here.has(k)).map((k) => {
    const alone = state.allowed[name].every((on, j) => on === (j === k));
    const light = spot((i) => codes[i] === k), rest = spot(null);
    return element("button", {
      type: "button", className: state.allowed[name][k] ? "" : "off", ariaPressed: `${alone}`,
      onmouseenter: light, onfocus: light, onmouseleave: rest, onblur: rest,
      onclick: () => {
        state.allowed[name] = values.map((_, j) => alone || j === k);
        applyFilters();
      },
    }, swatch(looks[k]), values[k]);
  }));
  byId("legend").children[focus]?.focus();
}

function search() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (i) => [payload.pair_id[i], payload.image_id[i], valueOf("task", i),
    valueOf("dataset", i)].join(" ").toLowerCase();
  const hit = (i) => { const t = text(i); return words.every((word) => t.includes(word)); };
  state.matches = words.length ? [...Array(N).keys()].filter(hit) : null;
  writeFound();
  redraw();
}

function writeFound() {
  const all = state.matches, there = shownOf(all ?? []), at = there.indexOf(state.pinned);
  byId("found").textContent = !all ? HINT : `${count(there.length)} of ${count(all.length)} matches ` +
    `pass the filters.${at < 0 ? "" : ` Pinned: number ${at + 1}.`}`;
}

function nextMatch(event) {
  event.preventDefault();
  const there = shownOf(state.matches ?? []);
  if (there.length) pin(there[(there.indexOf(state.pinned) + 1) % there.length]);
}

// What each side of the switch means.
const SENSES = {
  apart: "Near tasks are taken for one another: the encoder puts them next to each other, and was " +
    "made, if it was trained, to name them. That says little about what helps what.",
  codes: "Near tasks work alike: the code of the one, on another image, does the other with little " +
    "more error than that task's own code. It is likeness for transfer, and names tasks poorly.",
  maps: "Near tasks work alike: a linear map fitted to the one does the other with little more " +
    "error than that task's own map. It is likeness for transfer; nothing was trained.",
};

// Which space is shown; the encoder goes on naming pairs.
function changeSpace() {
  const alike = byId("alike").checked;
  state.encoder = payload.encoders[byId("encoder").value];
  state.space = alike ? payload.alike[byId("measure").value] : state.encoder;
  byId("measure-row").hidden = !alike;
  byId("sense").textContent = SENSES[state.space.sense ?? "apart"];
  for (const update of [listMatrices, applyFilters, showPinned]) update();
}

function buildControls() {
  payload.encoders.forEach((e, k) => byId("encoder").add(new Option(e.name, k)));
  payload.alike.forEach((e, k) => byId("measure").add(new Option(e.name, k)));
  byId("switch").hidden = !payload.alike.length;
  for (const id of ["apart", "alike", "measure"]) byId(id).onchange = changeSpace;
  for (const { name, label } of payload.dimensions) byId("colour").add(new Option(label, name));
  byId("encoder").onchange = changeSpace;
  byId("colour").onchange = () => { state.colour = byId("colour").value; writeLegend(); redraw(); };
  byId("search").oninput = search;
  byId("controls").onsubmit = nextMatch;
  payload.dimensions.forEach(buildFilter);
}
