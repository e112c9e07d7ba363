// The form, what it asks for, and the images that come back.

import { ask, search } from "./ask.js";
import { open } from "./details.js";
import { byId, element, picture, score } from "./elements.js";
import { PlaceMap, save, tileName } from "./places.js";

const [text, k, weight, rerank, bbox, where] = ["text", "k", "weight", "rerank", "bbox", "where"].map(byId);
const map = new PlaceMap((index) => cards[index].click(), (box) => { bbox.value = box; rerank.checked = false; again(); });
let cards = []; // of the images that are shown
let geojson = null; // of the latest results
let about = null;
let file = null; // an image of the reader's
let like = null; // or one of the archive
let running = new AbortController();
let early = false; // whether a search was begun before the archive answered

async function start() {
  about = await ask("/api/archive");
  const count = about.images.toLocaleString("en");
  byId("about").textContent = `${count} ${about.tiles ? "tiles" : "images"}, ${about.exact ? "every one compared" : "approximate search"}`;
  byId("rerank-row").hidden = !about.rerank;
  byId("bbox-row").hidden = !about.tiles;
  where.title = `A condition of SQL on the columns ${about.columns.join(", ")}`;
  text.maxLength = about.limits.sentence;
  byId("examples").append(...about.examples.map(example));
  byId("examples").hidden = !about.examples.length;
  // what was typed or chosen while the archive was asked stays
  if (location.hash || !(text.value.trim() || file)) restore();
  else if (early) run();
  else showSample();
}

function example(sentence) {
  const button = element("button", { type: "button" }, sentence);
  button.addEventListener("click", () => { text.value = sentence; run(); });
  return button;
}

// ------------------------------------------------------------------ the image of a search

function choose(chosen) {
  problem("");
  if (!chosen) return;
  if (about && chosen.size > about.limits.upload_bytes) {
    problem(`${chosen.name} has ${(chosen.size / 2 ** 20).toFixed(1)} MB; at most ${about.limits.upload_bytes >> 20} MB are taken.`);
    return;
  }
  [file, like] = [chosen, null];
  const kind = chosen.name.split(".").pop().slice(0, 4).toUpperCase();
  showImage("Like your image", chosen.name || "pasted image", element("span", { "aria-hidden": "true" }, kind));
  // a canvas needs no address for the file; some kinds no browser can draw
  createImageBitmap(chosen, { resizeWidth: 128, resizeHeight: 128 }).then((bitmap) => {
    if (file !== chosen) return;
    const canvas = element("canvas", { width: 128, height: 128, "aria-hidden": "true" });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    byId("preview").replaceChildren(canvas);
  }).catch(() => {});
  run();
}

function chooseLike(image) {
  [file, like] = [null, image];
  const preview = image.there ? picture(image, "thumb", "") : element("span");
  showImage("Like image", image.name || `number ${image.number}`, preview);
}

function showImage(what, name, preview) {
  byId("chosen-what").textContent = what;
  byId("chosen-name").textContent = name;
  byId("preview").replaceChildren(preview);
  byId("file").value = "";
  showState();
}

function removeImage() {
  [file, like] = [null, null];
  byId("file").value = "";
  showState();
}

function showState() {
  const has = file !== null || like !== null;
  byId("choose").hidden = has;
  byId("chosen").hidden = !has;
  byId("weight-row").hidden = !has || !text.value.trim();
  rerank.disabled = has;
  byId("rerank-why").textContent = has ? "for a sentence alone" : "ask the images back which sentence fits them best";
}

// ------------------------------------------------------------------ a search

async function run({ remember = true } = {}) {
  if (!about) {
    early = true;
    return;
  }
  const has = file !== null || like !== null;
  const question = {
    text: text.value, k: Number(k.value), weight: Number(weight.value), rerank: rerank.checked && !has,
    ...(bbox.value.trim() ? { bbox: bbox.value } : {}),
    ...(where.value.trim() ? { where: where.value } : {}),
    ...(like === null ? {} : { like: like.number }),
  };
  showState();
  problem("");
  if (!question.text.trim() && !has) {
    problem("Write a sentence or choose an image.");
    text.focus();
    return;
  }
  running.abort();
  running = new AbortController();
  const { signal } = running;
  byId("found").setAttribute("aria-busy", "true");
  byId("status").textContent = "Searching \u2026";
  try {
    const found = await search(question, file, signal);
    if (signal.aborted) return;
    if (remember && file === null) history.pushState(null, "", `#${address(question)}`);
    show(found, question);
  } catch (error) {
    if (signal.aborted) return;
    byId("status").textContent = "";
    problem(error.message);
  }
  byId("found").removeAttribute("aria-busy");
}

function show({ results, unknown, understood, seconds, geojson: places }, question) {
  geojson = places;
  const what = about.tiles ? "place" : "image";
  const count = results.length === 1 ? `1 ${what}` : `${results.length} ${what}s`;
  const time = seconds < 1 ? `${Math.ceil(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`;
  const notes = [question.rerank
    ? `${count} in the order of rerank, in ${time}; the numbers are similarities.`
    : `${count}, most similar first, in ${time}.`];
  if (!understood) notes.push("The model knows none of these words: this order says nothing.");
  else if (unknown.length) notes.push(`Words that the model has not learned: ${unknown.join(", ")}.`);
  if (file !== null && about.objects) notes.push("Your image is compared without objects, which those of the archive have.");
  byId("status").textContent = notes.join(" ");
  byId("heading").textContent = "Results";
  fill(results);
}

function fill(images) {
  cards = [];
  const own = cards;
  const items = images.map((image, at) => {
    const item = byId("card").content.cloneNode(true);
    const card = item.querySelector(".card");
    const name = image.tile ? tileName(image.tile) : image.name;
    item.querySelector(".picture").append(picture(image, "thumb", name));
    item.querySelector(".name").textContent = name;
    item.querySelector(".name").title = name;
    if (!image.there) item.querySelector(".name").removeAttribute("aria-hidden");
    if (image.rank) {
      item.querySelector(".rank").append(element("span", { class: "unseen" }, "Result "), String(image.rank));
      item.querySelector(".score").append(element("span", { class: "unseen" }, "similarity "), score(image.score));
    }
    card.addEventListener("click", () => open(images, at, own, (other) => {
      chooseLike(other);
      text.value = "";
      run().then(() => { byId("heading").focus(); scrollTo({ top: 0 }); });
    }));
    own.push(card);
    return item;
  });
  byId("results").replaceChildren(...items);
  byId("export").disabled = geojson === null;
  map.show(about.outlines, images);
}

const problem = (line) => { byId("problem").textContent = line; };

// ------------------------------------------------------------------ the address, for back and reload

function address({ text: sentence, like: number, k: most, weight: share, rerank: again, bbox: box, where: condition }) {
  const parts = new URLSearchParams();
  if (sentence.trim()) parts.set("q", sentence);
  if (number !== undefined) parts.set("like", number);
  if (number !== undefined && sentence.trim()) parts.set("weight", share);
  parts.set("k", most);
  if (again) parts.set("rerank", 1);
  if (box) parts.set("bbox", box);
  if (condition) parts.set("where", condition);
  return parts;
}

function restore() {
  const parts = new URLSearchParams(location.hash.slice(1));
  text.value = (parts.get("q") || "").slice(0, about.limits.sentence);
  if ([...k.options].some((option) => option.value === parts.get("k"))) k.value = parts.get("k");
  rerank.checked = parts.get("rerank") === "1";
  bbox.value = (parts.get("bbox") || "").slice(0, 120);
  where.value = (parts.get("where") || "").slice(0, 1000);
  const share = Number(parts.get("weight") ?? 0.5);
  weight.value = share >= 0 && share <= 1 ? share : 0.5;
  removeImage();
  if (/^\d{1,12}$/.test(parts.get("like") || "")) {
    const number = Number(parts.get("like"));
    ask(`/api/images/${number}`).then((image) => { if (like?.number === number) chooseLike(image); }).catch(() => {});
    chooseLike({ number, name: "", there: false });
  }
  if (text.value.trim() || like !== null) {
    run({ remember: false });
  } else {
    showSample();
  }
}

function showSample() {
  running.abort();
  byId("found").removeAttribute("aria-busy");
  byId("status").textContent = "";
  byId("heading").textContent = about.tiles ? "Tiles of the archive" : "Images of the archive";
  geojson = null;
  fill(about.sample);
}

// ------------------------------------------------------------------ what the reader does

byId("form").addEventListener("submit", (event) => { event.preventDefault(); run(); });
byId("file").addEventListener("change", (event) => choose(event.target.files[0]));
byId("remove").addEventListener("click", () => {
  removeImage();
  byId("file").focus();
  if (text.value.trim()) run();
});
const again = () => { if (text.value.trim() || file || like) run(); };
for (const input of [k, weight, rerank, bbox, where]) input.addEventListener("change", again);
byId("export").addEventListener("click", () => save(geojson));
text.addEventListener("input", showState);
addEventListener("popstate", () => { if (about) restore(); });
addEventListener("paste", (event) => {
  const pasted = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
  if (pasted) { event.preventDefault(); choose(pasted); }
});
const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragover", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
addEventListener("drop", (event) => {
  document.body.classList.remove("dragging");
  if (!holdsFiles(event)) return;
  event.preventDefault();
  if (!byId("details").open) choose(event.dataTransfer.files[0]);
});

start().catch((error) => problem(error.message));
