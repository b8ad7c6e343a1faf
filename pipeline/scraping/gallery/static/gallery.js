"use strict";
// Consent first; then thumbnails as they come near, batches as one scrolls, and the detail panel.

const AUTOMATIC = 3; // batches that load by themselves before "Show more" has to be clicked

let lazy = null; // the observer that swaps placeholders for thumbnails

const dialog = document.getElementById("consent");
if (dialog) {
  dialog.showModal();
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.addEventListener("click", (event) => {
    const choice = event.target.dataset.consent;
    if (!choice) return;
    document.cookie = `consent=${choice}; path=/; max-age=31536000; SameSite=Lax`;
    dialog.close();
    dialog.remove();
    document.dispatchEvent(new Event("consented"));
  });
}

const results = document.getElementById("results");
if (results && results.dataset.total) {
  lazily();
  endlessly();
  panel();
}

function lazily() {
  lazy = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (!isIntersecting) continue;
      lazy.unobserve(target);
      const full = new Image();
      full.onload = () => {
        target.src = full.src;
        target.removeAttribute("data-src");
      };
      full.src = target.dataset.src;
    }
  }, { rootMargin: "400px 0px" });
  watch();
}

function watch() {
  for (const image of results.querySelectorAll("img[data-src]:not([data-watched])")) {
    image.dataset.watched = "";
    lazy.observe(image);
  }
}

function endlessly() {
  const { query, total, batch } = results.dataset;
  const spinner = document.getElementById("spinner");
  const more = document.getElementById("more");
  const foot = spinner.parentElement;
  let automatic = 0;
  let loading = false;

  const count = () => results.querySelectorAll("a.tile").length;
  const near = () => foot.getBoundingClientRect().top < window.innerHeight + 600;

  async function load() {
    if (loading || count() >= Number(total) || document.querySelector("dialog[open]")) return;
    loading = true;
    spinner.setAttribute("aria-busy", "true");
    let failed = false;
    try {
      const reply = await fetch(`/results?q=${encodeURIComponent(query)}&offset=${count()}`);
      if (!reply.ok) throw new Error(reply.status);
      results.insertAdjacentHTML("beforeend", await reply.text());
      watch();
    } catch {
      failed = true;
    }
    spinner.setAttribute("aria-busy", "false");
    loading = false;
    automatic += 1;
    if (count() >= Number(total)) finish();
    else if (failed || automatic >= AUTOMATIC) more.hidden = false;
    else if (near()) load();
  }

  function finish() {
    if (document.getElementById("end")) return;
    const end = document.createElement("p");
    end.id = "end";
    end.textContent = "That is all of them.";
    foot.append(end);
  }

  more.addEventListener("click", () => {
    more.hidden = true;
    automatic = 0;
    load();
  });
  if (Number(total) <= Number(batch)) return;
  const end = new IntersectionObserver((seen) => {
    if (seen.some((item) => item.isIntersecting) && more.hidden) load();
  }, { rootMargin: "600px 0px" });
  end.observe(foot);
  // The observer sees nothing when new tiles push the foot away and a jump to the new end brings
  // it back before the next frame.
  const go = () => near() && more.hidden && load();
  document.addEventListener("scroll", go, { passive: true });
  document.addEventListener("consented", go);
}

function panel() {
  const aside = document.getElementById("detail");
  let current = null;

  async function open(tile) {
    const reply = await fetch(tile.dataset.detail);
    if (!reply.ok) return;
    aside.innerHTML = await reply.text();
    aside.hidden = false;
    aside.scrollTop = 0;
    current?.removeAttribute("aria-current");
    current = tile;
    current.setAttribute("aria-current", "true");
    aside.querySelector(".close").focus({ preventScroll: true });
    if (window.matchMedia("(min-width: 761px)").matches) tile.scrollIntoView({ block: "nearest" });
  }

  function close() {
    if (aside.hidden) return;
    aside.hidden = true;
    aside.replaceChildren();
    current?.removeAttribute("aria-current");
    current?.focus({ preventScroll: true });
    current = null;
  }

  function step(by) {
    const tiles = [...results.querySelectorAll("a.tile")];
    const next = tiles[tiles.indexOf(current) + by];
    if (next) open(next);
  }

  results.addEventListener("click", (event) => {
    const tile = event.target.closest("a.tile");
    if (!tile || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    if (tile === current) close();
    else open(tile);
  });
  aside.addEventListener("click", (event) => {
    if (event.target.closest(".close")) close();
    const arrow = event.target.closest(".step");
    if (arrow) step(Number(arrow.dataset.step));
  });
  document.addEventListener("keydown", (event) => {
    if (aside.hidden || event.target.closest("input")) return;
    if (event.key === "Escape") close();
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  });
}
