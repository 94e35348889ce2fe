// Small helpers of the pages.

export const at = (id) => document.getElementById(id);

// Call a function whenever an element has become wider or narrower, whatever the reason.
export function onWidth(watched, change) {
  let width = watched.clientWidth;
  new ResizeObserver(() => {
    if (watched.clientWidth === width) return;
    width = watched.clientWidth;
    change();
  }).observe(watched);
}

// A number of bytes, for people.
export const size = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`);

// A value as it stands in a condition.
export const quoted = (text) => `"${text.replaceAll('"', '""')}"`;

// Whether an element is the current one of several.
export const setCurrent = (element, current) => (current ? element.setAttribute("aria-current", "true") : element.removeAttribute("aria-current"));

// How many files one stands for, in its corner; nothing where it stands for itself.
export const stackBadge = ({ stacked }) => (stacked > 1 ? [element("span", `❐ ${stacked}`, { className: "badge stack", title: `${stacked} files: copies, a burst, or a pair` })] : []);

// An element with a text, attributes and properties.
export function element(name, text = "", properties = {}) {
  const created = document.createElement(name);
  if (text) created.textContent = text;
  return Object.assign(created, properties);
}
