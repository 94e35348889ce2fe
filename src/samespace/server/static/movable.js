// What can be moved and zoomed: the pointer drags, the wheel and two fingers zoom, the keyboard does both.

export const STEP = 1.6; // per step of the keyboard or the buttons
const PRESS = 5; // pixels that a press may move

// pan(x, y) and zoom(factor, x, y) in pixels of the stage are called; `drawing` may return what takes one pointer's way instead of a drag,
// with start(x, y), move(x, y) and end().
export function movable(stage, { pan, zoom, drawing = () => null }) {
  const pointers = new Map();
  let pen = null;
  let [from, dragged, swallow] = [[0, 0], true, false];
  const place = (event) => {
    const { left, top } = stage.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  const spread = () => {
    const [[x0, y0], [x1, y1]] = pointers.values();
    return [Math.hypot(x0 - x1, y0 - y1), (x0 + x1) / 2, (y0 + y1) / 2];
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button:not(.cluster), section")) return;
    [from, swallow] = [place(event), false];
    dragged = !event.target.closest(".cluster"); // which is pressed, or dragged
    if (dragged) stage.setPointerCapture(event.pointerId);
    pen = pointers.size ? null : drawing(event);
    pointers.set(event.pointerId, place(event));
    pen?.start(...place(event));
  });
  stage.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last) return;
    const before = pointers.size === 2 ? spread()[0] : 0;
    const now = place(event);
    if (!dragged && pointers.size < 2 && Math.hypot(now[0] - from[0], now[1] - from[1]) < PRESS) return;
    if (!dragged) stage.setPointerCapture(event.pointerId);
    swallow ||= !dragged;
    dragged = true;
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
    "click",
    (event) => {
      if (swallow) event.stopPropagation(); // it ends a drag that began on a button
      swallow = false;
    },
    true,
  );
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
