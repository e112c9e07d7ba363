// Objects and edges of DREA, drawn over an image.

const SVG = "http://www.w3.org/2000/svg";
// light colours, on which black numbers can be read
const COLOURS = ["#ffd166", "#7be0ad", "#8ecbff", "#ff9f8a", "#d9b3ff", "#f7f48b", "#9ff0f0", "#ffb3d9", "#c3e88d", "#ffc78a"];

export function colours(objects) {
  const labels = [...new Set(objects.map((object) => object.label))];
  return new Map(labels.map((label, at) => [label, COLOURS[at % COLOURS.length]]));
}

/** An element of an SVG. */
export function shape(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** An SVG over an image of width x height pixels; objects are groups with data-object. */
export function overlay({ objects, edges }, width, height) {
  const named = colours(objects);
  const at = ({ box: [left, top, wide, high] }) => ({ x: left * width, y: top * height, width: wide * width, height: high * height });
  const middle = (object) => { const box = at(object); return [box.x + box.width / 2, box.y + box.height / 2]; };
  const drawn = shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", focusable: "false" });
  for (const [first, second] of edges) {
    const [[x1, y1], [x2, y2]] = [middle(objects[first]), middle(objects[second])];
    for (const kind of ["halo link", "wire"]) drawn.append(shape("line", { class: kind, x1, y1, x2, y2 }));
  }
  const size = Math.max(width, height) / 28;
  // the most prominent last, so that it lies on top
  for (const [number, object] of [...objects.entries()].reverse()) {
    const box = at(object);
    const text = String(number + 1);
    const wide = size * (0.55 + 0.55 * text.length);
    const x = Math.min(Math.max(box.x, 0), width - wide), y = Math.min(Math.max(box.y, 0), height - size * 1.15);
    drawn.append(shape("g", { "data-object": number },
      shape("rect", { class: "halo around", ...box }),
      shape("rect", { class: "box", ...box, stroke: named.get(object.label) }),
      shape("g", { class: "mark" },
        shape("rect", { x, y, width: wide, height: size * 1.15, fill: named.get(object.label) }),
        shape("text", { x: x + wide / 2, y: y + size * 0.95, "font-size": size }, text))));
  }
  return drawn;
}
