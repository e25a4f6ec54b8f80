// Everything is put to work; drawing happens once a frame, however much has changed.
let waiting = 0;
function redraw() {
  waiting ||= requestAnimationFrame(() => { waiting = 0; drawMap(); drawHeat(); });
}

for (const build of [buildControls, buildMap, buildHeat]) build();
changeSpace();
new ResizeObserver(redraw).observe(document.querySelector("main"));
dark.addEventListener("change", () => { writeLegend(); redraw(); });
