// The documentation of the API, rendered from its own OpenAPI document; needs no other host.
const response = await fetch("/openapi.json");
const spec = await response.json();

function element(tag, text, ...children) {
  const node = document.createElement(tag);
  node.textContent = text;
  node.append(...children);
  return node;
}

function resolve(schema) {
  return schema?.$ref ? spec.components.schemas[schema.$ref.split("/").pop()] : schema;
}

function operation(method, path, about) {
  const section = element("section", "");
  section.append(element("h2", `${method.toUpperCase()} ${path}`), element("p", about.description));
  if (about.parameters.length) {
    const list = element("ul", "");
    for (const p of about.parameters) {
      list.append(element("li", `${p.name} (${p.in}) ${p.description || ""}`));
    }
    section.append(list);
  }
  for (const [type, content] of Object.entries(about.requestBody?.content || {})) {
    section.append(element("h3", type));
    const schema = resolve(content.schema);
    if (schema?.properties) section.append(element("pre", JSON.stringify(schema.properties, null, 2)));
  }
  section.append(element("p", `answers: ${Object.keys(about.responses).join(", ")}`));
  return section;
}

for (const [path, methods] of Object.entries(spec.paths)) {
  for (const [method, about] of Object.entries(methods)) {
    document.getElementById("operations").append(operation(method, path, about));
  }
}
