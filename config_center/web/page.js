// A thin page: keys, an editor that shows the difference first, the canary's share, live devices.
import { call, follow, token } from "/web/api.js";
import { difference } from "/web/difference.js";
import { drafts } from "/web/drafts.js";
import { WORDS } from "/web/words.js";

const $ = (id) => document.getElementById(id);
const state = { ns: "default", key: null, stable: "", language: pickLanguage(), known: {} };

function pickLanguage() {
  return localStorage.getItem("language") || (navigator.language.startsWith("zh") ? "zh" : "en");
}

const words = () => WORDS[state.language];

function translate() {
  document.documentElement.lang = state.language;
  for (const node of document.querySelectorAll("[data-i18n]")) {
    node.textContent = words()[node.dataset.i18n];
  }
  $("language").textContent = words().other;
}

function element(tag, text, attributes = {}) {
  const node = document.createElement(tag);
  node.textContent = text;
  Object.assign(node, attributes);
  return node;
}

function attempt(work) {
  $("problem").hidden = true;
  return telling(work);
}

// What the page does by itself: it leaves the problem that somebody still reads where it is.
async function telling(work) {
  try {
    await work();
  } catch (error) {
    const said = words().problems?.[error.name];
    $("problem").textContent = said ? `${said}\n${error.message}` : error.message;
    $("problem").hidden = false;
  }
}

const path = (...parts) => ["/v1/namespaces", state.ns, ...parts.map(encodeURIComponent)].join("/");

async function showKeys() {
  const { items } = await call("GET", path("keys") + "?limit=1000");
  state.known = Object.fromEntries(items.map((item) => [item.key, item]));
  $("keys").replaceChildren(...items.map(keyRow));
}

function keyRow(item) {
  const row = document.createElement("tr");
  const name = document.createElement("td");
  name.append(element("button", item.key, { type: "button", onclick: () => attempt(() => edit(item.key)) }));
  const rollout = item.rollout ? `${item.rollout.percent} % (${item.rollout.state})` : words().none;
  const version = item.version === item.latest ? item.version : `${item.version ?? "-"} → ${item.latest}`;
  row.append(name, element("td", version), element("td", item.format || ""), element("td", rollout));
  return row;
}

async function edit(key) {
  const found = key ? await call("GET", path("keys", key)) : { format: "json", value: null };
  state.key = key;
  state.latest = found.latest;
  $("editor").hidden = false;
  $("editor-title").textContent = key || words().newKey;
  $("name-label").hidden = Boolean(key);
  $("rollback").hidden = !key;
  $("format").value = found.format || "json";
  state.stable = key ? (found.text ?? JSON.stringify(found.value, null, 2)) : "";
  $("value").value = state.stable;
  $("comment").value = "";
  showCanary(found.rollout ? { ...found.rollout, latest: found.latest } : null);
  showDifference();
  $("value").focus();
}

function showCanary(rollout) {
  state.rollout = rollout;
  $("canary").hidden = $("canary-buttons").hidden = !rollout;
  $("publish").disabled = Boolean(rollout);
  if (rollout) {
    $("canary").textContent = words().canary(rollout);
    $("step").value = rollout.percent;
  }
}

function showDifference() {
  const lines = difference(state.stable, $("value").value).filter(([kind]) => kind !== "same");
  const marks = { add: "+ ", del: "- " };
  const nodes = lines.map(([kind, text]) => element("span", marks[kind] + text, { className: kind }));
  $("difference").replaceChildren(...(nodes.length ? nodes : [words().unchanged]));
}

function edited() {
  const format = $("format").value, text = $("value").value;
  const body = { value: format === "json" ? parse(text) : text, format, comment: $("comment").value };
  if ($("as-canary").checked) body.rollout = { percent: Number($("percent").value), unit: "device" };
  return [state.key || $("name").value, body];
}

async function publish() {
  const [key, body] = edited();
  // Only over what was looked at: somebody else may have published meanwhile.
  const only = state.key ? { "If-Match": `"${state.latest}"` } : { "If-None-Match": "*" };
  await call("PUT", path("keys", key), body, { ...only, ...identity() });
  $("editor").hidden = false;
  await refresh(key);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(words().notJson(error.message));
  }
}

// A lost answer and a second click are one change. randomUUID is there in secure contexts only.
function identity() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return { "Idempotency-Key": Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("") };
}

async function move(verb, body = {}) {
  await call("POST", path("rollouts", state.rollout.id, verb), body, identity());
  await refresh(state.key);
}

const review = drafts({
  call, path, element, words, attempt, identity, done: () => refresh(state.key),
});

async function refresh(key) {
  await showKeys();
  await review.show();
  if (key && !$("editor").hidden) await edit(key);
}

async function showDevices() {
  const { items } = await call("GET", path("devices") + "?limit=200").catch((problem) => {
    if (problem.name !== "forbidden") throw problem;
    return { items: [] }; // a token with a prefix is not told of the whole namespace
  });
  $("count").textContent = `(${items.length})`;
  $("devices").replaceChildren(...items.map(deviceRow));
}

function deviceRow(item) {
  const row = document.createElement("tr");
  const keys = document.createElement("td");
  for (const [key, about] of Object.entries(item.keys || {})) {
    const word = element("span", `${key} ${about.version ?? "-"}`);
    word.className = about.arm === "canary" ? "canary" : "";
    keys.append(word, " ");
  }
  row.append(element("td", item.device), element("td", item.instance || ""), element("td", item.turns ?? ""), keys);
  return row;
}

let pending = null;
function soon() {
  pending ??= setTimeout(() => {
    pending = null;
    telling(showKeys);
  }, 200);
}

async function start() {
  translate();
  if (!token) throw new Error(words().token);
  const { items } = await call("GET", "/v1/namespaces");
  $("namespace").replaceChildren(...items.map((item) => element("option", item.namespace)));
  const seen = items.map((item) => item.namespace);
  if (seen.length && !seen.includes(state.ns)) state.ns = seen[0];
  $("namespace").value = state.ns;
  await showKeys();
  await review.show();
  await showDevices();
  follow(path("watch"), (name) => name === "change" && soon(), (live) => {
    $("link").textContent = live ? words().live : words().lost;
  });
  setInterval(() => showDevices().catch(() => {}), 2000);
  setInterval(() => review.show().catch(() => {}), 5000);
}

$("language").onclick = () => {
  localStorage.setItem("language", state.language === "zh" ? "en" : "zh");
  location.reload();
};
$("namespace").onchange = () => attempt(async () => {
  state.ns = $("namespace").value;
  $("editor").hidden = true;
  await showKeys();
  await review.show();
  await showDevices();
});
$("new").onclick = () => attempt(() => edit(null));
$("value").oninput = showDifference;
$("publish").onclick = () => attempt(publish);
$("as-draft").onclick = () => attempt(async () => {
  const [key, body] = edited();
  await review.make(key, state.key ? state.latest : 0, body);
});
$("promote").onclick = () => confirm(words().confirmPromote) && attempt(() => move("promote"));
$("abort").onclick = () => attempt(() => move("abort"));
$("do-step").onclick = () => attempt(() => move("step", { percent: Number($("step").value), force: true }));
$("rollback").onclick = () => attempt(async () => {
  if (state.rollout) return move("abort");
  await call("POST", path("keys", state.key, "rollback"), {}, identity());
  await refresh(state.key);
});
$("close").onclick = () => { $("editor").hidden = true; };
attempt(start);
