// Runs inside the page. Reading 400 tiles by one script is over a hundred times quicker than asking
// the driver for each. Rules come parsed (pipeline/scraping/fields.py): each field has alternatives
// {place, attribute, filters}, and is read by the first that gives something. A value is returned
// as [text, index of its alternative], so that a report can say which selectors still work.

const shown = (selector) =>
  Boolean(selector) && [...document.querySelectorAll(selector)].some(
    (element) => element.getClientRects().length > 0 && !element.disabled);

function state(results, consent, blocked) {
  const navigation = performance.getEntriesByType("navigation")[0];
  return {
    tiles: document.querySelectorAll(results.tile).length,
    none: shown(results.none),
    end: shown(results.end),
    more: shown(results.more),
    busy: shown(results.spinner),
    consent: shown(consent),
    blocked: blocked.find((selector) => document.querySelector(selector)) || null,
    status: (navigation && navigation.responseStatus) || 0,
    url: location.href,
  };
}

function scroll(tile) {
  const tiles = document.querySelectorAll(tile);
  if (tiles.length) tiles[tiles.length - 1].scrollIntoView({block: "end"});
  window.scrollTo(0, document.documentElement.scrollHeight);
}

// Something that differs from page to page, for sites that change it without a new address.
function mark(tile) {
  const first = document.querySelector(tile);
  return first && location.href + first.outerHTML.slice(0, 2000);
}

// Address of the next page, "" where it is a button to press, null where there is none.
function following(selector) {
  const links = [...document.querySelectorAll(selector)];
  const link = links.find((each) => each.getClientRects().length > 0 && !each.disabled);
  if (!link) return null;
  const address = link.getAttribute("href");
  return address && !/^(#|javascript:)/.test(address) ? absolute(address, document.baseURI) : "";
}

function absolute(address, base) {
  try {
    const url = new URL(address, base);
    return /^https?:$/.test(url.protocol) ? url.href : null;
  } catch { return null; }
}

const asText = (value) =>
  value === null || value === undefined ? null
    : typeof value === "string" ? value : JSON.stringify(value);

const FILTERS = {
  json(value, path) {
    try {
      return asText(path.split(".").reduce((part, step) => part?.[step], JSON.parse(value)));
    } catch { return null; }
  },
  param(value, name) {
    try { return new URL(value, document.baseURI).searchParams.get(name); } catch { return null; }
  },
  match(value, regex) {
    const found = value.match(new RegExp(regex));
    return found && (found.length > 1 ? found[1] : found[0]);
  },
  replace(value, regex, text) { return value.replace(new RegExp(regex, "g"), text); },
};

function pick(root, alternatives) {
  for (const [index, {place, attribute, filters}] of alternatives.entries()) {
    for (const element of place ? root.querySelectorAll(place) : [root]) {
      let value = attribute ? element.getAttribute(attribute) : element.textContent;
      for (const [name, ...given] of filters) value = value && FILTERS[name](value, ...given);
      if (value && value.trim()) return [value.trim(), index];
    }
  }
  return null;
}

function clean(name, value, base) {
  if (!value || !(name.endsWith("_url") || name === "detail")) return value;
  const address = absolute(value[0], base);
  return address && [address, value[1]];
}

function fields(root, rules, base) {
  const found = {};
  for (const [name, alternatives] of Object.entries(rules)) {
    const value = clean(name, pick(root, alternatives), base);
    if (value) found[name] = value;
  }
  return found;
}

// Tiles from `start` on; those a source's own script returns count from 0 and are all of them.
function read(tile, rules, start, script) {
  if (!script) {
    const tiles = [...document.querySelectorAll(tile)].slice(start);
    return tiles.map((element) => fields(element, rules, document.baseURI));
  }
  return Array.from(script() || []).slice(start).map((given) => {
    const found = {};
    for (const [name, value] of Object.entries(given)) {
      const text = asText(value)?.trim();
      const kept = clean(name, text ? [text, -1] : null, document.baseURI);
      if (kept) found[name] = kept;
    }
    return found;
  });
}

function panel(selector, rules) {
  const element = document.querySelector(selector);
  return element ? fields(element, rules, document.baseURI) : {};
}

const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

// Fields of a page's fragment, or {refused: status}; what merely failed may be clicked later.
async function fragment(address, rules, signal) {
  let refused = null;
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      const answer = await fetch(address, {signal});
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        return {found: fields(page, rules, answer.url || address)};
      }
      refused = [403, 429].includes(answer.status) ? answer.status : null;
      if (answer.status < 500 && answer.status !== 429) break;
      if (refused) await sleep(Math.min(Number(answer.headers.get("Retry-After")) || 1, 5));
    } catch { /* the connection broke, or it took too long */ }
  }
  return {found: {}, refused};
}

// Fragments of all addresses, `atOnce` side by side, within `seconds`.
async function fragments(addresses, rules, atOnce, seconds) {
  const answers = [], queue = addresses.entries(), signal = AbortSignal.timeout(1000 * seconds);
  const work = async () => {
    for (const [place, address] of queue) answers[place] = await fragment(address, rules, signal);
  };
  await Promise.all(Array.from({length: atOnce}, work));
  return answers;
}
