"use strict";
// The lines for overrides.csv that a person has chosen: kept in memory and, where the browser
// allows it, in its store, so that a reload or another day finds them again.
const byId = (id) => document.getElementById(id);
const PLACE = "overrides " + location.pathname;
const tray = { lines: [], before: [] };

function remembered() {
  try {
    const lines = JSON.parse(localStorage.getItem(PLACE) || "[]");
    return Array.isArray(lines) ? lines.filter((line) => typeof line === "string") : [];
  } catch { return []; } // no store, or something else in it
}

function remember() {
  try { localStorage.setItem(PLACE, JSON.stringify(tray.lines)); } catch { /* memory will do */ }
}

function change(lines) {
  tray.before.push(tray.lines);
  tray.lines = lines;
  showTray();
}

function showTray() {
  remember();
  const count = tray.lines.length;
  byId("tray").hidden = !count && !tray.before.length;
  byId("chosen").textContent = count === 1 ? "1 line" : count.toLocaleString("en") + " lines";
  byId("lines").value = tray.lines.map((line) => line + "\n").join("");
  byId("undo").disabled = !tray.before.length;
  byId("copy").disabled = byId("clear").disabled = !count;
  const chosen = new Set(tray.lines);
  for (const button of document.querySelectorAll("button[data-line]"))
    button.setAttribute("aria-pressed", chosen.has(button.dataset.line));
}

let timer;
function say(text) {
  byId("toast").textContent = text;
  byId("toast").classList.add("on");
  clearTimeout(timer);
  timer = setTimeout(() => byId("toast").classList.remove("on"), 3000);
}

async function copy(text, said) {
  try { await navigator.clipboard.writeText(text); } catch {
    const area = document.createElement("textarea"), focused = document.activeElement;
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    focused?.focus();
    if (!copied) { say("The browser does not let this page copy: mark the lines under Show."); return; }
  }
  say(said);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-line]");
  if (!button) return;
  const line = button.dataset.line;
  if (tray.lines.includes(line)) {
    change(tray.lines.filter((other) => other !== line));
    say("Taken out of the tray: " + line);
  } else {
    change([...tray.lines, line]);
    copy(line + "\n", "Copied: " + line);
  }
});

byId("copy").addEventListener("click", () =>
  copy(byId("lines").value, byId("chosen").textContent + " copied: paste into overrides.csv"));
byId("clear").addEventListener("click", () => { change([]); byId("undo").focus(); });
byId("undo").addEventListener("click", () => {
  tray.lines = tray.before.pop() || [];
  showTray();
  if (byId("undo").disabled) byId("show").focus();
});
byId("show").addEventListener("click", () => {
  const shown = byId("lines").hidden;
  byId("lines").hidden = !shown;
  byId("show").setAttribute("aria-expanded", shown);
  byId("show").textContent = shown ? "Hide" : "Show";
});
tray.lines = remembered();
