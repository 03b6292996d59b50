// Drafts that wait for a second person: what each would change, and the two answers to it.
// What is approved is the `content` of what was shown, so the server refuses whatever moved since.
export function drafts({ call, path, element, words, attempt, identity, done }) {
  const $ = (id) => document.getElementById(id);

  // A token of an instance looks at no drafts.
  async function read() {
    try {
      return await call("GET", path("drafts") + "?limit=1000");
    } catch (error) {
      if (error.name !== "forbidden") throw error;
      return { items: [] };
    }
  }

  async function show() {
    const [policy, { items }] = await Promise.all([call("GET", path("policy")), read()]);
    const waiting = items.filter((item) => ["waiting", "moved"].includes(item.state));
    $("as-draft").hidden = !policy.two_person;
    $("drafts-section").hidden = !waiting.length;
    $("drafts").replaceChildren(...waiting.map(row));
    const frozen = policy.center.frozen || policy.frozen;
    $("frozen").hidden = !frozen;
    if (frozen) $("frozen").textContent = words().frozen(frozen);
  }

  function row(item) {
    const row = document.createElement("tr"), what = document.createElement("td");
    const keys = item.keys.map((key) => `${key.key} (${key.op})`).join(", ");
    what.append(element("button", keys, { type: "button", onclick: () => attempt(() => open(item.id)) }));
    if (item.state === "moved") what.append(` ${words().moved}`);
    const share = item.rollout ? `${item.rollout.percent} %` : words().everybody;
    row.append(what, element("td", share), element("td", item.author), element("td", item.comment));
    return row;
  }

  async function open(id) {
    const draft = await call("GET", path("drafts", id));
    const lines = draft.changes.flatMap((part) => [
      element("span", `${part.key} (${part.op})`), "\n", ...part.changes.flatMap(told),
    ]);
    // Whom it lists and by which rules: the percent alone says little.
    const how = { ...(draft.rollout && { rollout: draft.rollout }), ...(draft.supersede && { supersede: true }) };
    if (Object.keys(how).length) lines.unshift(`${plain(how)}\n`);
    if (draft.moved.length) lines.unshift(`${words().moved}: ${draft.moved.join(", ")}\n`);
    $("draft").replaceChildren(...lines);
    $("draft-view").hidden = false;
    $("approve").disabled = draft.state !== "waiting";
    $("approve").onclick = () => attempt(() => answer(id, "approve", { content: draft.content }));
    $("reject").onclick = () => attempt(() => answer(id, "reject", {}));
    $("approve").focus();
  }

  // As JSON, with marks of direction and whatever else is not seen as itself written out.
  function plain(value) {
    return JSON.stringify(value).replace(
      /[\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
      (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
  }

  function told({ path: at, old, new: now, op }) {
    const lines = [];
    const line = (mark, value, className) =>
      element("span", `${mark} ${at || "/"} ${plain(value)}`, { className });
    if (op !== "add") lines.push(line("-", old, "del"));
    if (op !== "remove") lines.push(line("+", now, "add"));
    return lines;
  }

  async function answer(id, verb, body) {
    await call("POST", path("drafts", id, verb), body, identity());
    $("draft-view").hidden = true;
    await done();
  }

  // ``latest`` is the version that was edited, 0 for a new key.
  async function make(key, latest, { comment, rollout, ...value }) {
    const operation = { op: "put", key, if_version: latest, ...value };
    const body = { operations: [operation], comment, ...(rollout ? { rollout } : {}) };
    await call("POST", path("drafts"), body, identity());
    await done();
  }

  return { show, make };
}
