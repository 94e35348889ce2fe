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

// Runs an exercise in an element; an error becomes one sentence there.
export const exercise = (start) => async (container) => {
  container.setAttribute("aria-busy", "true");
  try {
    await start(container);
  } catch (error) {
    container.replaceChildren(make("p", { className: "wrong" }, error.message));
  }
  container.removeAttribute("aria-busy");
};
