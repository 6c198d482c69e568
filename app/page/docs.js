"use strict";
// The OpenAPI document, readable, without anything from another host.
function add(parent, tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  parent.append(element);
  return element;
}

async function render() {
  const schema = await (await fetch("/docs/openapi.json")).json();
  const root = document.getElementById("operations");
  for (const [path, item] of Object.entries(schema.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (!operation.responses) continue;
      add(root, "h2", `${method.toUpperCase()} ${path}`);
      add(root, "p", operation.description || operation.summary || "");
      const list = add(root, "dl", "");
      for (const [status, response] of Object.entries(operation.responses)) {
        add(list, "dt", status);
        add(list, "dd", [response.description, ...Object.keys(response.content || {})].join(" · "));
      }
      const reference = operation.requestBody?.content["application/json"]?.schema?.$ref;
      if (!reference) continue;
      const body = schema.components.schemas[reference.split("/").pop()];
      const fields = add(root, "dl", "");
      for (const [name, field] of Object.entries(body.properties)) {
        add(fields, "dt", body.required?.includes(name) ? `${name} (required)` : name);
        const kinds = (field.anyOf || [field]).map((kind) => kind.enum?.filter(Boolean).join(" | ") || kind.type || kind.$ref?.split("/").pop());
        add(fields, "dd", [kinds.filter((kind) => kind !== "null").join(" or "), field.description].filter(Boolean).join(": "));
      }
    }
  }
}

render();
