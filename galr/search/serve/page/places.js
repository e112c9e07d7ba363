// Tiles of scenes: on their scene, on a map that needs no network, and as a GeoJSON file.

import { byId, element, picture } from "./elements.js";
import { shape } from "./scene.js";

const MARGIN = 34; // pixels around the map, for the degrees
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

/** "area.tif, x 256-512, y 0-256" */
export function tileName({ scene, window: [left, top, width, height] }) {
  return `${scene}, x ${left}\u2013${left + width}, y ${top}\u2013${top + height}`;
}

/** What the details say of a tile: its place, and its scene with a frame around it. */
export function tileFacts(image) {
  const { scene, size: [wide, high], window: [x, y, width, height], footprint, merged } = image.tile;
  const figure = element("figure", { class: "whole" }, picture({ ...image, number: image.number }, "scene", `Scene ${scene}`));
  const frame = { x, y, width, height };
  figure.append(shape("svg", { viewBox: `0 0 ${wide} ${high}`, "aria-hidden": "true", focusable: "false" },
    shape("rect", { class: "halo around", ...frame }), shape("rect", { class: "box", stroke: "#ffd166", ...frame })));
  const lines = [`Pixels x ${x}\u2013${x + width}, y ${y}\u2013${y + height} of ${wide} \u00d7 ${high}`];
  if (footprint) {
    const [longitude, latitude] = [0, 1].map((axis) => footprint.reduce((sum, corner) => sum + corner[axis], 0) / 4);
    lines.push(`Longitude ${longitude.toFixed(6)}, latitude ${latitude.toFixed(6)}`);
  }
  if (merged > 1) lines.push(`${merged} overlapping tiles were found here`);
  return [element("h3", {}, "On the scene"), ...lines.map((line) => element("p", {}, line)), figure];
}

/** Offers a FeatureCollection as a file. */
export function save(collection) {
  const blob = new Blob([JSON.stringify(collection)], { type: "application/geo+json" });
  const link = element("a", { href: URL.createObjectURL(blob), download: "found.geojson" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** A map in #map: outlines of scenes, tiles found; pick(index) for a click, choose(box) for a drag. */
export class PlaceMap {
  constructor(pick, choose) {
    [this.canvas, this.pick, this.choose] = [byId("map"), pick, choose];
    [this.outlines, this.found] = [[], []];
    this.canvas.addEventListener("pointerdown", (event) => {
      this.start = this.at(event);
      this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", (event) => { if (this.start) this.draw(this.at(event)); });
    this.canvas.addEventListener("pointerup", (event) => this.end(this.at(event)));
    this.canvas.addEventListener("pointercancel", () => { this.start = null; this.draw(); });
    addEventListener("resize", () => this.draw());
  }

  show(outlines, images) {
    this.outlines = outlines;
    this.found = images.map(({ tile }, index) => ({ index, corners: tile?.footprint })).filter(({ corners }) => corners);
    byId("places").hidden = !this.outlines.length;
    this.canvas.setAttribute("aria-label", `A map of ${this.found.length} places; the list below has the same`);
    this.draw();
  }

  fit() {
    const points = [...(this.found.length ? this.found.map(({ corners }) => corners) : this.outlines)].flat();
    const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
    const [west, east, south, north] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const { width, height } = this.canvas.getBoundingClientRect();
    this.squeeze = Math.max(Math.cos(((south + north) / 2) * Math.PI / 180), 0.05); // degrees of longitude are shorter
    this.scale = 0.9 * Math.min((width - 2 * MARGIN) / Math.max((east - west) * this.squeeze, 1e-7), (height - 2 * MARGIN) / Math.max(north - south, 1e-7));
    [this.middle, this.size] = [[(west + east) / 2, (south + north) / 2], [width, height]];
  }

  pixel([longitude, latitude]) {
    return [this.size[0] / 2 + (longitude - this.middle[0]) * this.squeeze * this.scale, this.size[1] / 2 - (latitude - this.middle[1]) * this.scale];
  }

  degrees([x, y]) {
    return [this.middle[0] + (x - this.size[0] / 2) / this.squeeze / this.scale, this.middle[1] - (y - this.size[1] / 2) / this.scale];
  }

  at(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  end(point) {
    const start = this.start;
    this.start = null;
    if (!start) return;
    if (Math.hypot(point[0] - start[0], point[1] - start[1]) < 6) {
      const hit = this.found.find(({ corners }) => contains(corners, this.degrees(point)));
      if (hit) this.pick(hit.index);
      return;
    }
    const [one, other] = [this.degrees(start), this.degrees(point)];
    const box = [Math.min(one[0], other[0]), Math.min(one[1], other[1]), Math.max(one[0], other[0]), Math.max(one[1], other[1])];
    const bounds = [180, 90, 180, 90];
    this.choose(box.map((value, at) => Math.min(Math.max(value, -bounds[at]), bounds[at]).toFixed(6)).join(","));
    this.draw();
  }

  draw(drag = null) {
    if (byId("places").hidden) return;
    this.fit();
    const [width, height] = this.size;
    const ratio = devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [width * ratio, height * ratio];
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    pen.font = "12px system-ui, sans-serif";
    this.graticule(pen);
    const ring = (corners, line, fill) => {
      pen.beginPath();
      for (const corner of corners) pen.lineTo(...this.pixel(corner));
      pen.closePath();
      [pen.strokeStyle, pen.fillStyle] = [line, fill];
      if (fill) pen.fill();
      pen.stroke();
    };
    pen.lineWidth = 1.5;
    for (const outline of this.outlines) ring(outline, colour("--line"), null);
    pen.lineWidth = 2;
    [pen.textAlign, pen.textBaseline] = ["center", "middle"];
    for (const { corners, index } of [...this.found].reverse()) {
      ring(corners, colour("--strong"), `${colour("--strong").trim()}33`);
      const [x, y] = [0, 1].map((axis) => corners.map((corner) => this.pixel(corner)[axis]).reduce((sum, value) => sum + value) / 4);
      pen.fillStyle = colour("--ink");
      pen.fillText(String(index + 1), x, y);
    }
    if (drag) {
      pen.setLineDash([5, 4]);
      pen.strokeStyle = colour("--ink");
      pen.strokeRect(this.start[0], this.start[1], drag[0] - this.start[0], drag[1] - this.start[1]);
    }
  }

  graticule(pen) {
    const [width, height] = this.size;
    const [west, north] = this.degrees([MARGIN, 0]);
    const [east, south] = this.degrees([width, height - MARGIN / 2]);
    [pen.strokeStyle, pen.fillStyle, pen.lineWidth] = [colour("--faint"), colour("--dim"), 1];
    const lines = (from, to, most) => {
      const rough = (to - from) / most;
      const power = 10 ** Math.floor(Math.log10(rough));
      const step = power * [1, 2, 5, 10].find((times) => times * power >= rough);
      const digits = Math.max(0, -Math.floor(Math.log10(step)));
      const first = Math.ceil(from / step);
      return Array.from({ length: Math.max(0, Math.floor(to / step) - first + 1) }, (_, at) => [(first + at) * step, ((first + at) * step).toFixed(digits)]);
    };
    pen.beginPath();
    [pen.textAlign, pen.textBaseline] = ["center", "bottom"];
    for (const [longitude, label] of lines(west, east, Math.max(2, width / 140))) {
      const x = this.pixel([longitude, 0])[0];
      pen.moveTo(x, 0); pen.lineTo(x, height - MARGIN / 2);
      pen.fillText(`${label}\u00b0`, x, height - 2);
    }
    [pen.textAlign, pen.textBaseline] = ["left", "bottom"];
    for (const [latitude, label] of lines(south, north, Math.max(2, height / 70))) {
      const y = this.pixel([0, latitude])[1];
      pen.moveTo(0, y); pen.lineTo(width, y);
      pen.fillText(`${label}\u00b0`, 3, y - 1);
    }
    pen.stroke();
  }
}

function contains(corners, [x, y]) {
  let inside = false;
  corners.forEach(([x1, y1], at) => {
    const [x2, y2] = corners[(at + 3) % 4];
    if (y1 > y !== y2 > y && x < ((x2 - x1) * (y - y1)) / (y2 - y1) + x1) inside = !inside;
  });
  return inside;
}
