// The dialog about one image.

import { ask } from "./ask.js";
import { byId, element, picture, score } from "./elements.js";
import { tileFacts, tileName } from "./places.js";
import { colours, overlay } from "./scene.js";

const dialog = byId("details");
let shown = []; // the images that previous and next go through
let place = 0;
let turn = 0; // an answer to an earlier turn comes too late
let moreLike = () => {};
let cards = [];

/** Opens the dialog for images[at]; like(image) is called for more like that one. */
export function open(images, at, buttons, like) {
  [shown, cards, moreLike] = [images, buttons, like];
  show(at);
  dialog.showModal();
  byId("name").focus();
}

async function show(at) {
  place = at;
  const image = shown[at];
  const mine = ++turn;
  byId("name").textContent = image.tile ? tileName(image.tile) : image.name;
  byId("previous").disabled = at === 0;
  byId("next").disabled = at === shown.length - 1;
  byId("overlay-row").hidden = true;
  byId("figure").replaceChildren(picture(image, "large", `Image ${image.name}`));
  byId("facts").replaceChildren(...about(image), ...(image.why ? why(image) : []));
  dialog.scrollTop = 0;
  if (!image.there) return;
  let details;
  try {
    details = await ask(`/api/images/${image.number}`);
  } catch (error) {
    if (mine === turn) byId("facts").append(element("p", { class: "problem" }, error.message));
    return;
  }
  if (mine === turn) complete(image, details);
}

function complete(image, details) {
  const facts = byId("facts");
  facts.querySelector(".size").textContent = `${details.width} \u00d7 ${details.height} pixels`;
  if (details.captions.length) {
    facts.append(element("h3", {}, "Captions nearest to it"), captions(details.captions));
    const shownImage = byId("figure").querySelector("img");
    if (shownImage) shownImage.alt = `Image ${image.name}. The caption that the model finds nearest: ${details.captions[0].text}`;
  }
  if (image.tile) facts.append(...tileFacts(image));
  if (details.scene) scene(details);
}

function about(image) {
  const like = element("button", { type: "button", class: "strong" }, "More like this");
  like.addEventListener("click", () => { dialog.close(); moreLike(image); });
  const found = image.rank
    ? element("p", {}, element("b", {}, `Result ${image.rank}`), `, similarity ${score(image.score)}`)
    : element("p", {}, "An image of the archive");
  return [found, element("p", { class: "size soft" }), like];
}

function why({ why: terms, rank }) {
  const largest = Math.max(terms.saliency, terms.rank, terms.reverse, 1e-9);
  const row = (name, text, value) => {
    const share = element("span", { class: "share" });
    share.style.width = `${Math.max(0, 100 * value / largest)}%`;
    return element("tr", {}, element("th", { scope: "row" }, name, element("br"), element("span", { class: "soft" }, text), share),
      element("td", { class: "number" }, score(value)));
  };
  const moved = terms.was === rank ? `It stayed at place ${rank}.` : `It moved from place ${terms.was} to ${rank}.`;
  return [
    element("h3", {}, "Why it is here"),
    element("p", {}, `${moved} Rerank orders by the sum of three terms:`),
    element("table", {},
      element("tbody", {},
        row("Saliency", "the sentence's share of all similarities to this image", terms.saliency),
        row("Rank", `place ${terms.was} among the images`, terms.rank),
        row("Reverse rank", `the sentence is at place ${terms.own_place} among this image's captions`, terms.reverse)),
      element("tfoot", {}, element("tr", {}, element("th", { scope: "row" }, "Sum"), element("td", { class: "number" }, score(terms.score))))),
  ];
}

const captions = (found) => element("ul", {}, ...found.map(({ text, score: value }) =>
  element("li", {}, element("span", {}, text), element("span", { class: "number" }, score(value)))));

function scene({ scene: { objects, edges }, width, height }) {
  const facts = byId("facts");
  if (!objects.length) {
    facts.append(element("h3", {}, "Objects"), element("p", {}, "No object was kept of this image."));
    return;
  }
  const drawn = overlay({ objects, edges }, width, height);
  byId("figure").append(drawn);
  byId("overlay-row").hidden = false;
  toggle();
  const named = colours(objects);
  const rows = objects.map((object, number) => {
    const key = element("span", { class: "key" });
    key.style.background = named.get(object.label);
    const row = element("tr", { class: "object" }, element("td", { class: "number" }, String(number + 1)),
      element("td", {}, key, object.label), element("td", { class: "number" }, object.score.toFixed(2)));
    for (const [event, lit] of [["pointerenter", true], ["pointerleave", false]]) {
      row.addEventListener(event, () => drawn.querySelector(`[data-object="${number}"]`).classList.toggle("lit", lit));
    }
    return row;
  });
  const heads = ["No.", "Class", "Score"].map((text, at) => element("th", { scope: "col", class: at === 1 ? null : "number" }, text));
  facts.append(element("h3", {}, "Objects"),
    element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows)));
  if (edges.length) {
    facts.append(element("h3", {}, "Strongest edges"), element("ul", {}, ...edges.map(([first, second, weight]) =>
      element("li", {}, element("span", {}, `${first + 1} ${objects[first].label} \u2013 ${second + 1} ${objects[second].label}`),
        element("span", { class: "number" }, weight.toFixed(2))))));
  }
}

function toggle() {
  const drawn = byId("figure").querySelector("svg");
  if (drawn) drawn.style.display = byId("overlay").checked ? "" : "none";
}

const step = (by) => { if (shown[place + by]) show(place + by); };
byId("overlay").addEventListener("change", toggle);
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
dialog.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
dialog.addEventListener("close", () => {
  turn += 1;
  if (cards[place]?.isConnected) cards[place].focus();
});
