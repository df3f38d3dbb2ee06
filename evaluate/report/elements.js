// Elements and times: what all pages share.
const $ = (id) => document.getElementById(id);

/** An element with attributes ("on..." listens) and children; null children are left out. */
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "line", "text", "circle"].includes(tag);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, x] of Object.entries(value)) node.style.setProperty(key, x);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const seconds = (x) => (x < 60 ? `${x.toFixed(1)} s` : `${Math.floor(x / 60)}:${String(Math.floor(x % 60)).padStart(2, "0")}`);
