// Draws the decisions. All text comes from file names and other people's files: it is set as text,
// never as markup. Only what is near the window is in the document.
const data = JSON.parse(byId("data").textContent);
const [PATH, BREED, REASON, KEEP, SIZE, DETAIL, TWIN, THUMB, FLAGS, ITEM, PARENT, BOX] = Array(12).keys();
const SVG = "http://www.w3.org/2000/svg";
const PER_BLOCK = 36; // cards that are drawn and cleared together
const CHUNKS = 40; // pieces of thumbnails that are remembered
const words = (name) => name.replaceAll("_", " ");

function make(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
}

function draw(parent, tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  parent.append(node);
  return node;
}

// --- thumbnails, a chunk of them at a time ---

const starts = [];
data.chunks.reduce((sum, [, size], k) => (starts[k] = sum) + size, 0);
const loaded = new Map(), waiting = new Map();

function thumbnail(number, use) {
  let chunk = starts.length - 1;
  while (starts[chunk] > number) chunk -= 1;
  const take = (list) => use(list && "data:image/jpeg;base64," + list[number - starts[chunk]]);
  const list = loaded.get(chunk);
  if (list) {
    loaded.delete(chunk); // the last used stay longest
    keep(chunk, list);
    take(list);
  } else if (waiting.has(chunk)) waiting.get(chunk).push(take);
  else {
    waiting.set(chunk, [take]);
    load(chunk);
  }
}

function keep(chunk, list) {
  loaded.set(chunk, list);
  if (loaded.size > CHUNKS) loaded.delete(loaded.keys().next().value);
}

function load(chunk) {
  const inside = document.querySelector(`script[data-thumbs="${chunk}"]`);
  if (inside) { arrived(chunk, JSON.parse(inside.textContent)); return; }
  const script = document.createElement("script");
  script.dataset.chunk = chunk;
  script.onload = () => script.remove();
  script.onerror = () => { script.remove(); arrived(chunk, null); };
  script.src = data.chunks[chunk][0];
  document.head.append(script);
}

// What the scripts beside the page call.
window.thumbs = (list) => arrived(Number(document.currentScript.dataset.chunk), list);

function arrived(chunk, list) {
  if (list) keep(chunk, list);
  else say("The folder review/ is missing beside this page: it holds the pictures.");
  const takers = waiting.get(chunk) || [];
  waiting.delete(chunk);
  for (const take of takers) take(list);
}

// --- cards ---

const PICTURE = /\.(jpe?g|png|webp|gif|bmp)$/i; // a browser shows these, and runs nothing in them

function frame(number, row, beside) {
  const own = row[THUMB] >= 0, parent = row[PARENT] >= 0 ? data.rows[row[PARENT]] : null;
  const shown = own ? row : parent;
  const linked = own && data.originals !== null && PICTURE.test(row[PATH]);
  const box = make(linked ? "a" : "div", "frame");
  if (linked) {
    // What was cut out of a collage lies beside this page.
    box.href = (parent ? "" : data.originals) + row[PATH].split("/").map(encodeURIComponent).join("/");
    box.target = "_blank";
    box.rel = "noopener noreferrer";
  }
  if (!shown || shown[THUMB] < 0) {
    box.append(make("span", "none", "no picture"));
    return box;
  }
  const holder = make("span", "holder");
  box.append(holder);
  if (own) {
    const image = make("img");
    image.alt = "Picture " + row[PATH];
    image.decoding = "async";
    thumbnail(row[THUMB], (uri) => { if (uri) image.src = uri; });
    holder.append(image);
    overlay(holder, number, beside);
  } else cutOut(holder, row, shown);
  return box;
}

// The joins that were found, and the places of the pictures that were cut out.
function overlay(holder, number, beside) {
  const lines = data.seams[number] || [];
  const boxes = beside.map((k) => data.rows[k]).filter((row) => row[PARENT] === number);
  if (!lines.length && !boxes.length) return;
  const svg = draw(holder, "svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img" });
  svg.setAttribute("aria-label", `${lines.length} joins found`);
  for (const [vertical, at] of lines)
    draw(svg, "line", vertical ? { x1: at, x2: at, y1: 0, y2: 100 } : { x1: 0, x2: 100, y1: at, y2: at });
  for (const { [BOX]: [l, t, r, b] } of boxes)
    draw(svg, "rect", { x: 100 * l, y: 100 * t, width: 100 * (r - l), height: 100 * (b - t) });
}

// A cell without a thumbnail of its own: its place in that of the collage.
function cutOut(holder, row, parent) {
  const [l, t, r, b] = row[BOX], [width, height] = (parent[SIZE].match(/\d+/g) || [1, 1]).map(Number);
  const place = [l * width, t * height, (r - l) * width, (b - t) * height];
  const scale = 144 / Math.max(place[2], place[3]);
  const svg = draw(holder, "svg", { viewBox: place.join(" "), role: "img", class: "cut",
    width: place[2] * scale, height: place[3] * scale, "aria-label": "Picture " + row[PATH] });
  const image = draw(svg, "image", { width, height, preserveAspectRatio: "none" });
  thumbnail(parent[THUMB], (uri) => { if (uri) image.setAttribute("href", uri); });
}

function verdict(row) {
  if (row[REASON] === "override") return row[KEEP] ? "kept by a person" : "dropped by a person";
  return row[KEEP] ? "kept" : words(row[REASON]);
}

const item = (row) => row[ITEM] || row[PATH];

function choice(label, line, row) {
  const button = make("button", "", label);
  button.type = "button";
  button.dataset.line = line;
  button.title = line;
  button.setAttribute("aria-label", `${label}: ${row[PATH]}`);
  button.setAttribute("aria-pressed", tray.lines.includes(line));
  return button;
}

function card(number, beside, note) {
  const row = data.rows[number];
  const node = make("article", "card " + (row[KEEP] ? "keep" : "drop"));
  node.dataset.row = number;
  node.append(frame(number, row, beside), make("p", "verdict", verdict(row)));
  const path = make("p", "path", row[PATH]);
  path.title = row[PATH];
  node.append(path);
  const facts = [row[SIZE], row[DETAIL], ...note ? [note] : []].filter(Boolean).join(" · ");
  if (facts) node.append(make("p", "facts", facts));
  for (const [name, score] of row[FLAGS])
    if (name !== row[REASON]) node.append(make("p", "flag", `${words(name)} ${score.toFixed(2)}`));
  if (row[REASON] === "corrupt") return node;
  const buttons = node.appendChild(make("div", "buttons"));
  buttons.append(choice(row[KEEP] ? "Drop" : "Keep", `${item(row)},${row[KEEP] ? "drop" : "keep"},seen`, row));
  if (row[TWIN] >= 0 && /_duplicate$/.test(row[REASON]))
    buttons.append(choice("Not the same photo",
      `${item(row)},distinct,seen,${item(data.rows[row[TWIN]])}`, row));
  return node;
}

function drawItem(entry) {
  if (typeof entry === "string") return make("h3", "", entry);
  if (typeof entry === "number") return card(entry, [], "");
  const [rows, note] = entry;
  if (rows.length === 1) return card(rows[0], [], note);
  const group = make("div", "group");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", `${rows.length} files: ${note || data.rows[rows[0]][PATH]}`);
  if (note) group.append(make("p", "note", note));
  const cards = group.appendChild(make("div", "cards"));
  for (const number of rows) cards.append(card(number, rows, ""));
  return group;
}

// --- lists: blocks that are filled near the window and emptied far from it ---

const cardsOf = (entry) => (typeof entry === "object" ? entry[0].length : 1);
const blocks = new Map(); // element -> what it shows
const near = new IntersectionObserver((found) => {
  for (const { target, isIntersecting } of found) (isIntersecting ? fill : empty)(target);
}, { rootMargin: "100% 0px" });
let cardHeight = 300; // of one row, as last seen

function expected(node, cards) {
  const columns = innerWidth > 520 ? Math.max(1, Math.floor(node.clientWidth / 184)) : 2; // as in review.css
  return Math.ceil(cards / columns) * cardHeight;
}

function fill(node) {
  const block = blocks.get(node);
  if (!block || block.drawn) return;
  block.drawn = true;
  node.style.height = "";
  node.replaceChildren(...block.entries.map(drawItem));
}

function empty(node) {
  const block = blocks.get(node);
  if (!block?.drawn || node.contains(document.activeElement)) return;
  block.drawn = false;
  node.style.height = node.offsetHeight + "px";
  node.replaceChildren();
}

function list(section, entries) {
  const place = section.querySelector(".list");
  for (const old of place.children) { near.unobserve(old); blocks.delete(old); }
  place.replaceChildren();
  let part = [], cards = 0;
  const close = () => {
    if (!part.length) return;
    const node = place.appendChild(make("div", "block"));
    blocks.set(node, { entries: part, drawn: false });
    node.style.height = expected(place, cards) + "px";
    near.observe(node);
    part = [];
    cards = 0;
  };
  for (const entry of entries) {
    if (cards >= PER_BLOCK || (typeof entry === "string" && cards)) close();
    part.push(entry);
    cards += cardsOf(entry);
  }
  close();
}

// --- filters ---

let lowered;
const wish = { breed: "", reason: "", find: "" };

function fits(number) {
  const row = data.rows[number];
  if (wish.breed && row[BREED] !== wish.breed.slice(1)) return false;
  if (wish.reason && row[REASON] !== wish.reason) return false;
  return !wish.find || lowered[number].includes(wish.find);
}

function chosen(entries) {
  const found = [];
  let heading;
  for (const entry of entries) {
    if (typeof entry === "string") { heading = entry; continue; }
    if (!(typeof entry === "number" ? fits(entry) : entry[0].some(fits))) continue;
    if (heading) { found.push(heading); heading = undefined; }
    found.push(entry);
  }
  return found;
}

function filter() {
  wish.breed = byId("breed").value;
  wish.reason = byId("reason").value;
  wish.find = byId("find").value.trim().toLowerCase();
  if (wish.find) lowered ||= data.rows.map((row) => row[PATH].toLowerCase());
  const any = Boolean(wish.breed || wish.reason || wish.find);
  byId("all").hidden = !any;
  let left = 0;
  for (const [name, entries] of Object.entries(data.sections)) {
    const section = byId(name), found = any ? chosen(entries) : entries;
    const count = found.reduce((sum, entry) => sum + (typeof entry !== "string"), 0);
    section.hidden = !count;
    section.querySelector(".fit").textContent = any ? `(${count.toLocaleString("en")} fit)` : "";
    left += count;
    list(section, found);
  }
  byId("nothing").hidden = Boolean(left);
}

let soon;
const later = () => { clearTimeout(soon); soon = setTimeout(filter, 120); };
for (const id of ["breed", "reason", "find"]) byId(id).addEventListener("input", later);
const bar = document.querySelector(".bar");
bar.addEventListener("submit", (event) => event.preventDefault());
bar.addEventListener("reset", () => setTimeout(filter));

const folder = (name) => name || "(no folder)";
for (const [name, kept, files] of data.breeds) {
  const option = make("option", "", `${folder(name)} (${kept} of ${files})`);
  option.value = "/" + name; // a breed may be called nothing
  byId("breed").append(option);
}

byId("breeds").addEventListener("toggle", () => {
  const table = make("table"), head = table.createTHead().insertRow();
  for (const text of ["Breed", "Kept", "Files"]) head.append(make("th", "", text));
  const body = table.createTBody();
  for (const [name, kept, files] of data.breeds) {
    const row = body.insertRow();
    for (const text of [folder(name), kept, files]) row.append(make("td", "", text));
  }
  byId("breeds").querySelector("div").replaceChildren(...byId("breeds").open ? [table] : []);
});

filter();
showTray();
