// What the page carries, and the one state that all panels draw.
const byId = (id) => document.getElementById(id);
const ARRAYS = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f32: Float32Array };
const payload = JSON.parse(byId("payload").textContent, (key, value) => {
  if (typeof value?.data !== "string") return value;
  const bytes = Uint8Array.from(atob(value.data), (letter) => letter.charCodeAt(0));
  return new ARRAYS[value.type](bytes.buffer);
});
const N = payload.pair_id.length;
const DIMENSIONS = Object.fromEntries(payload.dimensions.map((d) => [d.name, d]));
const TASKS = DIMENSIONS.task.values, TASK_OF = payload.codes.task;

const state = {
  encoder: payload.encoders[0], // whose neighbours name the pairs
  space: payload.encoders[0], // where pairs and tasks lie: that encoder's, or one of payload.alike
  colour: "family",
  allowed: Object.fromEntries(payload.dimensions.map((d) => [d.name, d.values.map(() => true)])),
  shown: new Uint8Array(N), // after the filters
  matches: null, // pairs that the search finds, or null without a search
  spot: null, // tells which dots light up while a legend entry or a cell is pointed at
  hover: -1, pinned: -1, // pairs, or -1
};

// What the neighbours said depends on the encoder; all else belongs to the pair.
const codesOf = (name) => (name === "verdict" ? state.encoder.verdict : payload.codes[name]);
const valueOf = (name, i) => DIMENSIONS[name].values[codesOf(name)[i]];
const dark = matchMedia("(prefers-color-scheme: dark)");
const tone = (look) => (dark.matches ? look.dark : look.light);
const taskTone = (task) => tone(DIMENSIONS.family.looks[payload.task_family[task]]);
const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const count = (n) => n.toLocaleString("en");
const small = (text) => `${text} system-ui, sans-serif`;

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children); // strings become text, never HTML
  return made;
}

// The pen of a canvas that is sharp on every screen.
function context(canvas, width, height) {
  const sharp = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
  Object.assign(canvas, { width: Math.round(width * sharp), height: Math.round(height * sharp) });
  pen.scale(sharp, sharp);
  return pen;
}

for (const look of payload.dimensions.flatMap((d) => d.looks)) look.shape = new Path2D(look.shape);
function mark(pen, look, x, y, r) {
  const before = pen.getTransform();
  pen.translate(x, y);
  pen.scale(r, r);
  pen.fillStyle = tone(look);
  pen.fill(look.shape);
  pen.setTransform(before);
}
