// Elements out of names, properties and children.

export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "style") Object.assign(element.style, value);
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// Runs a piece; what goes wrong becomes one sentence in its place.
export const piece = (start) => async (place) => {
  place.setAttribute("aria-busy", "true");
  try {
    await start(place);
  } catch (error) {
    place.replaceChildren(make("p", { className: "wrong" }, error.message));
  }
  place.removeAttribute("aria-busy");
};
