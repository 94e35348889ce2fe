// Small helpers of the pages.

export const at = (id) => document.getElementById(id);

// An element with a text, attributes and properties.
export function element(name, text = "", properties = {}) {
  const created = document.createElement(name);
  if (text) created.textContent = text;
  return Object.assign(created, properties);
}
