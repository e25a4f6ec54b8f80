// One pair: its pixels and what is known of it, beside its dot or pinned.
const sheets = []; // promises of decoded sheets

// Decoded when first needed: a page of many sheets opens at once.
async function decoded(k) {
  const src = `data:image/webp;base64,${byId(`sheet-${k}`).textContent}`;
  const image = Object.assign(new Image(), { src });
  await image.decode();
  return image;
}
const sheet = (k) => sheets[k] ??= decoded(k);

function picture(side, i, size) {
  const { tile, across } = payload, number = payload[side][i], k = number % across ** 2;
  const canvas = element("canvas", { width: tile, height: tile, role: "img" });
  canvas.ariaLabel = `${side} image`;
  canvas.style.width = canvas.style.height = `${size}px`;
  sheet(Math.floor(number / across ** 2)).then((image) => {
    const from = [tile * (k % across), tile * Math.floor(k / across), tile, tile];
    canvas.getContext("2d").drawImage(image, ...from, 0, 0, tile, tile);
    canvas.dataset.drawn = "yes";
  });
  return element("figure", {}, canvas, element("figcaption", {}, side));
}

function describe(i, size) {
  const { verdict, predicted, n_right: right, n_seeds: seeds } = state.encoder, v = verdict[i];
  const degree = payload.severity[i], stable = seeds > 1 ? `, ${right[i]} of ${seeds} seeds right` : "";
  const named = element("strong", { className: `v${v}` }, `${"✓≈✗→"[v]} ${TASKS[predicted[i]]}`);
  const facts = {
    "named by kNN": [named, ` (${valueOf("verdict", i)}${stable})`],
    dataset: [`${valueOf("dataset", i)} (${valueOf("modality", i)}), ${valueOf("split", i)}`],
    severity: [Number.isNaN(degree) ? "none (this task has no degrees)" : degree.toFixed(2)],
    image: [payload.image_id[i]],
    pair: [payload.pair_id[i]],
  };
  const list = Object.entries(facts).flatMap(([name, fact]) => [
    element("dt", {}, name), element("dd", {}, ...fact)]);
  const sides = [picture("input", i, size), "→", picture("output", i, size)];
  return [element("strong", {}, valueOf("task", i)), ` ${valueOf("family", i)}`,
    element("div", { className: "sides" }, ...sides), element("dl", {}, ...list)];
}

// Look at a pair (-1: at none); the card stands beside its dot, inside the window.
function look(i) {
  if (state.hover === i) return;
  state.hover = i;
  const tip = byId("tip");
  tip.hidden = i < 0;
  tip.replaceChildren(...(i < 0 ? [] : describe(i, 96)));
  if (i >= 0) {
    const frame = byId("map").getBoundingClientRect(), [x, y] = place(i);
    const fit = (at, length, room) =>
      Math.max(4, at + 16 + length < room ? at + 16 : Math.min(at - 16, room - 4) - length);
    tip.style.left = `${fit(frame.left + x, tip.offsetWidth, innerWidth)}px`;
    tip.style.top = `${fit(frame.top + y, tip.offsetHeight, innerHeight)}px`;
  }
  redraw();
}

function pin(i) {
  state.pinned = i;
  if (i >= 0) byId("nearest-task").value = TASK_OF[i];
  writeNearest();
  look(-1);
  for (const update of [showPinned, writeFound, redraw]) update();
}

function showPinned() {
  const hint = "Click a dot, or press Enter on it, to keep it here.";
  byId("unpin").hidden = state.pinned < 0;
  byId("pin").replaceChildren(...(state.pinned < 0 ? [hint] : describe(state.pinned, 128)));
}
