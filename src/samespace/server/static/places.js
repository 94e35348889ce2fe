// The map: where pictures were taken, in clusters with a picture each, over the outlines of countries. Nothing comes from elsewhere:
// the outlines are Natural Earth's (public domain), served from here.
import { ask, latestOnly } from "./ask.js";
import { at, element } from "./dom.js";
import { STEP, movable } from "./movable.js";
import { geoMercator, geoPath } from "./vendor/d3-geo.js";
import { feature, mesh } from "./vendor/topojson-client/index.js";

const CELL = 76; // pixels: pictures nearer than this are one cluster
const EARTH_KM = 6371;
const MAX_SCALE = 4e6;

const canvas = at("map");
const pen = canvas.getContext("2d");
const projection = geoMercator();
const path = geoPath(projection, pen);
const latest = latestOnly();
const state = { land: null, borders: null, points: [], clusters: new Map(), frame: 0, size: [1, 1] };

// The style of the stage has the colours: sea, land and lines, for light and for dark.
const colours = () => {
  const { backgroundColor: sea, color: land, borderTopColor: line } = getComputedStyle(at("stage"));
  return { sea, land, line };
};

async function load() {
  const where = encodeURIComponent(at("where").value.trim());
  const found = await latest((signal) => Promise.all([ask("/static/vendor/countries-50m.json", null, signal), ask(`/app/places?where=${where}`, null, signal)]));
  if (!found) return; // it was asked anew
  const [world, places] = found;
  if (world.error) return say(world.error);
  state.land ??= feature(world, world.objects.land);
  state.borders ??= mesh(world, world.objects.countries, (a, b) => a !== b);
  if (places.error) return say(places.error);
  state.points = places.points;
  say(places.points.length ? `${places.points.length.toLocaleString()} ${places.points.length === 1 ? "file has" : "files have"} a place.` : "Nothing here says where it was taken.");
  resize();
  fit();
}

const say = (text) => (at("status").textContent = text);

function resize() {
  const { clientWidth: width, clientHeight: height } = at("stage");
  state.size = [width, height];
  const ratio = devicePixelRatio || 1;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
}

// Show all points, or the world.
function fit() {
  const [width, height] = state.size;
  const shown = state.points.length ? { type: "MultiPoint", coordinates: state.points.map(({ lat, lon }) => [lon, lat]) } : { type: "Sphere" };
  projection.fitExtent([[60, 60], [Math.max(61, width - 60), Math.max(61, height - 60)]], shown);
  if (!(projection.scale() < 20_000)) {
    const [{ lat, lon }] = state.points; // they are all at one place
    projection.scale(20_000).center([0, 0]).translate([0, 0]);
    const [x, y] = projection([lon, lat]);
    projection.translate([width / 2 - x, height / 2 - y]);
  }
  draw();
}

function draw() {
  cancelAnimationFrame(state.frame);
  state.frame = requestAnimationFrame(() => {
    const [width, height] = state.size;
    const { sea, land, line } = colours();
    pen.fillStyle = sea;
    pen.fillRect(0, 0, width, height);
    projection.clipExtent([[-5, -5], [width + 5, height + 5]]);
    for (const [shape, fill] of [[state.land, land], [state.borders, ""]]) {
      if (!shape) continue;
      pen.beginPath();
      path(shape);
      pen.lineWidth = 1;
      pen.strokeStyle = line;
      if (fill) (pen.fillStyle = fill), pen.fill();
      pen.stroke();
    }
    projection.clipExtent(null);
    drawClusters();
  });
}

// Points that are near one another on the screen, as one: {x, y, count, first, key}.
function cluster() {
  const [width, height] = state.size;
  const [originX, originY] = projection([0, 0]); // cells move with the map
  const cells = new Map();
  for (const point of state.points) {
    const [x, y] = projection([point.lon, Math.max(-85, Math.min(85, point.lat))]);
    if (x < -CELL || y < -CELL || x > width + CELL || y > height + CELL) continue;
    const key = `${Math.floor((x - originX) / CELL)} ${Math.floor((y - originY) / CELL)}`;
    const cell = cells.get(key) ?? { x: 0, y: 0, count: 0, first: point, key: `${key} ${point.id}` };
    cell.x += x;
    cell.y += y;
    cell.count++;
    cells.set(key, cell);
  }
  return [...cells.values()].map((cell) => ({ ...cell, x: cell.x / cell.count, y: cell.y / cell.count, key: `${cell.key} ${cell.count}` }));
}

function drawClusters() {
  const shown = new Map();
  for (const cell of cluster()) {
    const item = state.clusters.get(cell.key) ?? makeCluster(cell);
    item.style.transform = `translate(${cell.x - 28}px, ${cell.y - 28}px)`;
    shown.set(cell.key, item);
  }
  for (const [key, item] of state.clusters) if (!shown.has(key)) item.remove();
  for (const item of shown.values()) if (!item.isConnected) at("clusters").append(item);
  state.clusters = shown;
}

function makeCluster({ count, first }) {
  const name = `${count.toLocaleString()} ${count === 1 ? "file" : "files"}${first.place ? `: ${first.place}` : ""}`;
  const button = element("button", "", { type: "button", className: "cluster", title: name, ariaLabel: name });
  button.append(Object.assign(new Image(), { src: `/pictures/${first.id}/small`, alt: "", draggable: false }));
  if (count > 1) button.append(element("span", count.toLocaleString()));
  button.addEventListener("click", () => {
    if (count === 1 || projection.scale() >= MAX_SCALE / 4) location.href = `/?q=${encodeURIComponent(nearQuery(first, 1))}`;
    else {
      const [left, top] = projection([first.lon, first.lat]);
      pan(state.size[0] / 2 - left, state.size[1] / 2 - top);
      zoom(4);
    }
  });
  return button;
}

const nearQuery = ({ lat, lon }, km) => {
  const where = at("where").value.trim();
  return `near:${lat.toFixed(4)},${lon.toFixed(4)},${km}km ${where && `(${where})`}`.trim();
};

function zoom(factor, x = state.size[0] / 2, y = state.size[1] / 2) {
  const scale = Math.min(MAX_SCALE, Math.max(60, projection.scale() * factor));
  const by = scale / projection.scale();
  const [left, top] = projection.translate();
  projection.scale(scale).translate([x + (left - x) * by, y + (top - y) * by]);
  draw();
}

function pan(x, y) {
  const [left, top] = projection.translate();
  projection.translate([left + x, top + y]);
  draw();
}

// What the map shows, as a search: everything around its middle, as far as its nearer edge.
function searchHere() {
  const [width, height] = state.size;
  const [lon, lat] = projection.invert([width / 2, height / 2]);
  const [lonEdge, latEdge] = width < height ? projection.invert([width, height / 2]) : projection.invert([width / 2, 0]);
  const radians = Math.PI / 180;
  const cosine = Math.sin(lat * radians) * Math.sin(latEdge * radians) + Math.cos(lat * radians) * Math.cos(latEdge * radians) * Math.cos((lonEdge - lon) * radians);
  const km = Math.max(1, Math.round(EARTH_KM * Math.acos(Math.min(1, Math.max(-1, cosine)))));
  location.href = `/?q=${encodeURIComponent(nearQuery({ lat, lon: ((lon + 540) % 360) - 180 }, km))}`;
}

movable(at("stage"), { pan, zoom });
at("nearer").addEventListener("click", () => zoom(STEP));
at("farther").addEventListener("click", () => zoom(1 / STEP));
at("all").addEventListener("click", fit);
at("here").addEventListener("click", searchHere);
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  load();
});
addEventListener("resize", () => {
  resize();
  draw();
});
load();
