// Written by hand on 2026-11-21: what the saved pages have in common. A page is a list, a <template>
// of one tile ({n} is its number) and a call of these functions.
const word = "%QUERY%".split(" ")[0];          // picks what goes wrong, see saved_site.py
const one = (selector) => document.querySelector(selector);
const later = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

function add(list, from, to, different = to) {
  const text = one("template#tile").innerHTML;
  for (let n = from; n < to; n++) {
    list.insertAdjacentHTML("beforeend", text.replaceAll("{n}", n % different));
  }
}

// Calls more() when the reader comes near the foot of the page, one call at a time.
function onFoot(more) {
  let busy = false;
  addEventListener("scroll", async () => {
    const near = innerHeight + scrollY > document.documentElement.scrollHeight - 300;
    if (!near || busy) return;
    busy = true;
    await more();
    busy = false;
  });
}

// A dialog that one button closes; on the word "stuck" none does.
function consent(overlay, buttons) {
  one(overlay).hidden = false;
  for (const button of document.querySelectorAll(buttons)) {
    button.onclick = () => { if (word !== "stuck") one(overlay).hidden = true; };
  }
}
