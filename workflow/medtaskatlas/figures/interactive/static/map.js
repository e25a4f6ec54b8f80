// The map: dots, names of tasks, pointer and keys.
const map = byId("map");
const view = { x: 0.5, y: 0.5, zoom: 1, width: 1, height: 1 };

const scale = () => view.zoom * (Math.min(view.width, view.height) - 36);
function place(i) {
  const { x, y } = state.space;
  return [view.width / 2 + (x[i] - view.x) * scale(), view.height / 2 - (y[i] - view.y) * scale()];
}

function drawMap() {
  Object.assign(view, { width: map.clientWidth, height: map.clientHeight });
  const pen = context(map, view.width, view.height), matched = new Set(state.matches);
  const { looks } = DIMENSIONS[state.colour], codes = codesOf(state.colour);
  const lit = state.spot ?? ((i) => !state.matches || matched.has(i));
  const r = Math.min(8, Math.max(2.3, Math.sqrt(9000 / N)) * Math.sqrt(view.zoom));
  for (const bright of [false, true]) {
    pen.globalAlpha = bright ? 0.75 : 0.1;
    for (let i = 0; i < N; i++) {
      if (state.shown[i] && lit(i) === bright) mark(pen, looks[codes[i]], ...place(i), r);
    }
  }
  pen.globalAlpha = 1;
  if (byId("labels").checked) drawNames(pen);
  pen.strokeStyle = token("--ink");
  for (const [i, width] of [[state.hover, 2], [state.pinned, 3.5]]) {
    pen.lineWidth = width;
    pen.beginPath();
    if (i >= 0) pen.arc(...place(i), r + 4, 0, 7);
    pen.stroke();
  }
}

function drawNames(pen) {
  const taken = [];
  Object.assign(pen, { font: small("600 11px"), textAlign: "center", textBaseline: "middle",
    lineJoin: "round", lineWidth: 3, strokeStyle: token("--panel") });
  const lit = (i) => state.shown[i] && (!state.spot || state.spot(i));
  const named = new Set(TASK_OF.filter((_, i) => lit(i)));
  for (const [task, middle] of state.space.middles.filter(([task]) => named.has(task))) {
    const [x, y] = place(middle), half = pen.measureText(TASKS[task]).width / 2 + 2;
    if (x < 0 || y < 0 || x > view.width || y > view.height) continue;
    const at = Math.min(Math.max(x, half), view.width - half);
    const free = [0, -13, 13, -26, 26].map((d) => y + d).find((v) => v > 8 && v < view.height - 8 &&
      taken.every(([u, w, h]) => Math.abs(u - at) > half + h || Math.abs(w - v) > 12));
    if (free === undefined) continue; // no room: it appears when one zooms in
    taken.push([at, free, half]);
    pen.strokeText(TASKS[task], at, free);
    pen.fillStyle = state.colour === "family" ? taskTone(task) : token("--ink");
    pen.fillText(TASKS[task], at, free);
  }
}

function nearest(x, y, reach, fits = () => true) {
  let best = -1;
  for (let i = 0; i < N; i++) {
    const [u, v] = place(i), far = Math.hypot(u - x, v - y);
    if (state.shown[i] && far < reach && fits(u - x, v - y)) [reach, best] = [far, i];
  }
  return best;
}

function zoom(factor, x = view.width / 2, y = view.height / 2) {
  const before = 1 / scale();
  view.zoom = Math.min(40, Math.max(1, view.zoom * factor));
  view.x += (x - view.width / 2) * (before - 1 / scale());
  view.y -= (y - view.height / 2) * (before - 1 / scale());
  if (view.zoom === 1) view.x = view.y = 0.5;
  look(-1);
  redraw();
}

const ARROWS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
const ZOOMS = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 0 };

// From the pair that is looked at to the nearest one in the direction of the arrow.
function step([right, down]) {
  const from = state.hover >= 0 ? state.hover : state.pinned;
  const ahead = (dx, dy) => dx * right + dy * down > Math.abs(dx * down) + Math.abs(dy * right);
  const next = from < 0 ? nearest(view.width / 2, view.height / 2, Infinity)
    : nearest(...place(from), Infinity, ahead);
  if (next >= 0) look(next);
}

function mapKey(event) {
  if (ARROWS[event.key]) step(ARROWS[event.key]);
  else if (event.key === "Enter") pin(state.hover >= 0 ? state.hover : state.pinned);
  else if (event.key === "Escape") pin(-1);
  else if (event.key in ZOOMS && !event.ctrlKey && !event.metaKey) zoom(ZOOMS[event.key]);
  else return;
  event.preventDefault();
}

function mapMove(event) {
  const { offsetX: x, offsetY: y } = event, { down } = view;
  if (!down || !event.buttons) return look(nearest(x, y, 12));
  if (!down.moved && Math.hypot(x - down.x, y - down.y) < 4) return;
  if (!down.moved) map.setPointerCapture(event.pointerId);
  view.x -= (x - down.x) / scale();
  view.y += (y - down.y) / scale();
  view.down = { x, y, moved: true };
  look(-1);
  redraw();
}

function buildMap() {
  map.onpointerdown = (event) => { view.down = { x: event.offsetX, y: event.offsetY }; };
  map.onpointermove = mapMove;
  map.onpointerup = (event) => {
    if (view.down && !view.down.moved) pin(nearest(event.offsetX, event.offsetY, 12));
    view.down = null;
  };
  map.onpointercancel = () => { view.down = null; };
  map.onpointerleave = map.onblur = () => look(-1);
  map.onkeydown = mapKey;
  map.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), event.offsetX, event.offsetY);
  }, { passive: false });
  for (const [id, factor] of [["zoom-in", 1.5], ["zoom-out", 1 / 1.5], ["reset", 0]]) {
    byId(id).onclick = () => zoom(factor);
  }
  byId("unpin").onclick = () => { pin(-1); map.focus(); };
  byId("labels").onchange = redraw;
}
