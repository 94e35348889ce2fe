// What can be moved and zoomed: the pointer drags, the wheel and two fingers zoom, the keyboard does both.

export const STEP = 1.6; // per step of the keyboard or the buttons

// pan(x, y) and zoom(factor, x, y) in pixels of the stage are called; `drawing` may return what takes one pointer's way instead of a drag,
// with start(x, y), move(x, y) and end().
export function movable(stage, { pan, zoom, drawing = () => null }) {
  const pointers = new Map();
  let pen = null;
  const place = (event) => {
    const { left, top } = stage.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  const spread = () => {
    const [[x0, y0], [x1, y1]] = pointers.values();
    return [Math.hypot(x0 - x1, y0 - y1), (x0 + x1) / 2, (y0 + y1) / 2];
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button, section")) return;
    stage.setPointerCapture(event.pointerId);
    pen = pointers.size ? null : drawing(event);
    pointers.set(event.pointerId, place(event));
    pen?.start(...place(event));
  });
  stage.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const before = pointers.size === 2 ? spread()[0] : 0;
    const now = place(event);
    pointers.set(event.pointerId, now);
    if (pen) return pen.move(...now);
    if (!before) return pan(now[0] - last[0], now[1] - last[1]);
    const [after, x, y] = spread();
    zoom(after / before, x, y);
  });
  for (const name of ["pointerup", "pointercancel"])
    stage.addEventListener(name, (event) => {
      pointers.delete(event.pointerId);
      pen?.end();
      pen = null;
    });
  stage.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      zoom(2 ** (-event.deltaY / 300), ...place(event));
    },
    { passive: false },
  );
  stage.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] }[event.key];
    const factor = { "+": STEP, "=": STEP, "-": 1 / STEP }[event.key];
    if (event.target !== stage || !(steps || factor)) return;
    event.preventDefault();
    steps ? pan(...steps) : zoom(factor, stage.clientWidth / 2, stage.clientHeight / 2);
  });
}
