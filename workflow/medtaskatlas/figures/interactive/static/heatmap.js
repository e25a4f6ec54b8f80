// Distances between tasks; a cell that is pointed at lights up its two tasks on the map.
const heat = byId("heat");
const LEFT = 118; // pixels for names
const cell = { row: -1, column: -1, kept: false, side: 1, wide: 1, top: 0 };

const matrix = () => state.space.distances[byId("matrix").value];
// Held-out tasks are columns, beside every task; else rows and columns are the same tasks.
const tasksInOrder = () => matrix()?.[byId("order").value] ?? [];
const columnsInOrder = () => tasksInOrder().filter((task) => matrix().columns.includes(task));
const entry = (m, a, b) => m.tasks.indexOf(a) * m.tasks.length + m.tasks.indexOf(b);
const viridis = (share) => payload.viridis[Math.round(255 * Math.max(0, share))];

// The matrices of the space; the same kind as before stays chosen where there is one.
function listMatrices() {
  const select = byId("matrix"), before = select.selectedOptions[0]?.text;
  select.replaceChildren(...state.space.distances.map(({ name }, k) =>
    new Option(name, k, false, name === before)));
  changeMatrix();
}

function changeMatrix() {
  byId("order").options[0].text = matrix()?.near_name ?? "tree";
  pointAt(-1, -1);
  writeNearest();
}

function drawHeat() {
  const m = matrix(), tasks = tasksInOrder(), n = tasks.length, width = heat.clientWidth;
  const columns = columnsInOrder(), beside = columns.length < n;
  const side = Math.max(4, Math.floor((width - LEFT) / Math.max(n, 12)));
  const wide = beside ? Math.min(120, Math.floor((width - LEFT) / columns.length)) : side;
  const up = beside ? 18 : 0; // pixels for names of columns
  Object.assign(cell, { side, wide, top: up });
  heat.style.height = `${up + n * side + 34}px`;
  const pen = context(heat, width, up + n * side + 34);
  pen.textBaseline = "middle";
  if (!m) return pen.fillText("no distances of this encoder in this run", 4, 17);
  const top = m.value.reduce((most, value) => (value > most ? value : most), 1e-9);
  const seen = state.hover >= 0 ? state.hover : state.pinned, own = TASK_OF[seen];
  const pointed = [tasks[cell.row], columns[cell.column]];
  pen.textAlign = "center";
  if (beside) columns.forEach((b, column) => {
    pen.font = small(`${pointed.includes(b) || b === own ? "bold " : ""}11px`);
    pen.fillStyle = taskTone(b);
    pen.fillText(TASKS[b], LEFT + (column + 0.5) * wide, up / 2, wide - 4);
  });
  pen.textAlign = "right";
  tasks.forEach((a, row) => {
    const marked = pointed.includes(a) || a === own;
    pen.font = small(`${marked ? "bold " : ""}${Math.min(11, side + 1)}px`);
    pen.fillStyle = taskTone(a);
    pen.fillText(TASKS[a], LEFT - 5, up + (row + 0.5) * side, LEFT - 6);
    columns.forEach((b, column) => {
      const value = m.value[entry(m, a, b)];
      pen.fillStyle = Number.isNaN(value) ? token("--panel") : viridis(value / top);
      pen.fillRect(LEFT + column * wide, up + row * side, wide, side);
    });
  });
  const frame = (row, column, across = 1) => {
    for (const [ink, line] of row < 0 || column < 0 ? [] : [["--panel", 4], ["--ink", 2]]) {
      Object.assign(pen, { strokeStyle: token(ink), lineWidth: line });
      pen.strokeRect(LEFT + column * wide, up + row * side, across * wide, side);
    }
  };
  if (cell.row < 0) { // the task of the pair that is looked at, and what it was named
    const named = state.encoder.predicted[seen];
    frame(tasks.indexOf(own), 0, columns.length);
    frame(tasks.indexOf(own), columns.indexOf(named));
    if (beside) frame(tasks.indexOf(named), columns.indexOf(own));
  }
  frame(cell.row, cell.column);
  frame(tasks.indexOf(pointed[1]), columns.indexOf(pointed[0]));
  drawScale(pen, top, up + n * side);
}

function drawScale(pen, top, y) {
  for (let k = 0; k < 160; k++) {
    pen.fillStyle = viridis(k / 159);
    pen.fillRect(LEFT + k, y + 8, 1, 8);
  }
  Object.assign(pen, { fillStyle: token("--soft"), font: small("10.5px") });
  pen.fillText(`${top.toFixed(2)} (far)`, LEFT + 160, y + 25);
  pen.textAlign = "left";
  pen.fillText("0 (alike)", LEFT, y + 25);
}

function pointAt(row, column, kept = false) {
  Object.assign(cell, { row, column, kept });
  const a = tasksInOrder()[row], b = columnsInOrder()[column];
  state.spot = row < 0 ? null : (i) => TASK_OF[i] === a || TASK_OF[i] === b;
  const sides = matrix()?.directed ? "Rows are sources, columns targets. " : "";
  byId("heat-read").textContent = row < 0
    ? `${sides}Hover or arrow keys: compare two tasks. Click or Enter: keep them lit.` : compare(a, b);
  redraw();
}

function compare(a, b) {
  const m = matrix(), k = entry(m, a, b), number = (values) => values[k].toFixed(2);
  if (a === b) return `${TASKS[a]}: 0 to itself.`;
  const two = `${TASKS[a]} ${m.directed ? "for" : "and"} ${TASKS[b]}`;
  if (Number.isNaN(m.value[k])) return `${two}: not measured.`;
  const interval = Number.isNaN(m.low[k]) ? "" : ` [${number(m.low)}, ${number(m.high)}]`;
  return `${two}: ${number(m.value)}${interval}, from ${count(m.n[k])} pairs.`;
}

// The tasks nearest to one, or those that do most for it where distances have a direction.
const NEAREST = 6;
function writeNearest() {
  const m = matrix(), b = Number(byId("nearest-task").value);
  const value = (a) => m.value[entry(m, a, b)];
  const known = !m?.tasks.includes(b) ? [] : m.tasks.filter((a) => a !== b && !Number.isNaN(value(a)));
  const near = known.sort((a, c) => value(a) - value(c)).slice(0, NEAREST);
  byId("nearest-title").textContent = m?.directed ? "Does most for" : "Nearest to";
  byId("nearest").replaceChildren(...near.map((a) => {
    const k = entry(m, a, b), low = m.low[k], name = element("span", {}, TASKS[a]);
    name.style.color = taskTone(a);
    const interval = Number.isNaN(low) ? "" : ` [${low.toFixed(2)}, ${m.high[k].toFixed(2)}]`;
    return element("li", {}, name, ` ${value(a).toFixed(2)}${interval}`);
  }));
  byId("nearest-none").hidden = near.length > 0;
}

function buildHeat() {
  const inside = ([row, column]) =>
    tasksInOrder()[row] !== undefined && columnsInOrder()[column] !== undefined;
  const under = ({ offsetX: x, offsetY: y }) => {
    const found = [Math.floor((y - cell.top) / cell.side), Math.floor((x - LEFT) / cell.wide)];
    return inside(found) ? found : [-1, -1];
  };
  heat.onpointermove = (event) => { if (!cell.kept) pointAt(...under(event)); };
  heat.onpointerleave = heat.onblur = () => { if (!cell.kept) pointAt(-1, -1); };
  heat.onclick = (event) => {
    const [row, column] = under(event);
    pointAt(row, column, row >= 0 && !(cell.kept && row === cell.row && column === cell.column));
  };
  heat.onkeydown = (event) => {
    const [right, down] = ARROWS[event.key] ?? [0, 0];
    const to = cell.row < 0 ? [0, 0] : [cell.row + down, cell.column + right];
    if (ARROWS[event.key]) { if (inside(to)) pointAt(...to); }
    else if (event.key === "Enter") pointAt(cell.row, cell.column, cell.row >= 0 && !cell.kept);
    else if (event.key === "Escape") pointAt(-1, -1);
    else return;
    event.preventDefault();
  };
  const there = [...new Set(TASK_OF)].sort((a, b) => a - b);
  byId("nearest-task").append(...there.map((task) => new Option(TASKS[task], task)));
  byId("nearest-task").onchange = writeNearest;
  byId("matrix").onchange = changeMatrix;
  byId("order").onchange = () => pointAt(-1, -1);
}
