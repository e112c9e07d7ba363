// Elements of the page. Whatever comes from the archive or the reader becomes text, never markup.

export const byId = (id) => document.getElementById(id);

/** An element with its attributes, properties that are functions, and children (text or nodes). */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** An image of the archive, or a placeholder where it has gone; fills its place. */
export function picture(image, view, alt, loaded = () => {}) {
  const gone = () => element("span", { class: "gone" }, "This image is no longer where it was indexed");
  if (!image.there) return gone();
  const made = element("img", { alt, loading: view === "thumb" ? "lazy" : "eager", draggable: "false" });
  made.addEventListener("error", () => made.replaceWith(gone()));
  made.addEventListener("load", () => loaded(made));
  made.src = `/images/${image.number}/${view}`;
  return made;
}

/** With three decimals, a real minus, and none before 0. */
export const score = (value) => value.toFixed(3).replace(/^-(?=.*[1-9])/, "\u2212").replace("-", "");
