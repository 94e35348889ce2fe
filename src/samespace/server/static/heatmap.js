// Heat maps, and boxes of words, painted over a picture that is shown whole within its box.

const WARM = [255, 120, 20];

export function paintHeatmap(canvas, image, heatmap) {
  align(canvas, image);
  const rows = heatmap.length;
  const columns = heatmap[0].length;
  const values = heatmap.flat();
  const low = Math.min(...values);
  const spread = Math.max(...values) - low || 1;
  canvas.width = columns;
  canvas.height = rows;
  const pixels = new ImageData(columns, rows);
  values.forEach((value, i) => {
    const strength = (value - low) / spread;
    pixels.data.set([...WARM, Math.round(190 * strength ** 2)], 4 * i);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0); // the browser smooths it when it is stretched
  canvas.classList.add("on");
}

// Words marked on a page: boxes as shares of it, left, top, right and bottom.
export function paintBoxes(canvas, image, boxes) {
  align(canvas, image);
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const pen = canvas.getContext("2d");
  pen.fillStyle = `rgb(${WARM} / 0.4)`.replaceAll(",", " ");
  for (const [left, top, right, bottom] of boxes)
    pen.fillRect(left * canvas.width - 2, top * canvas.height - 2, (right - left) * canvas.width + 4, (bottom - top) * canvas.height + 4);
  canvas.classList.add("on");
}

// Put a canvas exactly over an image.
function align(canvas, image) {
  const { left, top, width, height } = contentBox(image);
  Object.assign(canvas.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
}

// Where in its element an image is drawn, in pixels: everywhere, or what object-fit: contain leaves.
function contentBox(image) {
  if (getComputedStyle(image).objectFit === "fill") return { left: 0, top: 0, width: image.clientWidth, height: image.clientHeight };
  const scale = Math.min(image.clientWidth / image.naturalWidth, image.clientHeight / image.naturalHeight);
  const width = image.naturalWidth * scale;
  const height = image.naturalHeight * scale;
  return { left: (image.clientWidth - width) / 2, top: (image.clientHeight - height) / 2, width, height };
}
