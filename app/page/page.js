"use strict";
// Types and hears. Mp3 and aac play while they are still being made, where the browser can; the rest when whole.
const $ = (id) => document.getElementById(id);
const LENGTHS_IN_HEAD = new Set(["wav", "flac", "m4a"]); // which are not known while they are being made
let current = null; // aborts what is being spoken
let kept = null; // the object URL of what was spoken last

const key = () => $("key").value.trim();
const say = (text) => { $("status").textContent = text; };
const happened = (target, name) => new Promise((done) => target.addEventListener(name, done, { once: true }));

function complain(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

function askForKey() {
  sessionStorage.removeItem("key");
  $("asked").hidden = false;
  $("key").focus();
}

// An answer that is one; else an error whose message is for the reader.
async function ask(path, { body, signal } = {}) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  // fetch() would only say that a character is not Latin-1.
  if (/[^\x21-\x7e]/.test(key())) throw new Error("The key has a character in it that no key has: copy it anew.");
  // The key goes here, and into no address: those are kept in histories and logs.
  if (key()) headers.Authorization = `Bearer ${key()}`;
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. See that it is running and can be reached from here, then try again.");
  }
  if (response.ok) return response;
  if (response.status === 401) askForKey();
  const told = await response.json().catch(() => ({}));
  if ((told.error?.code ?? told.code) === "missing_key") throw new Error("This server needs a key: enter yours above.");
  const wait = response.headers.get("X-Should-Retry") !== "false" && response.headers.get("Retry-After");
  // A proxy in front answers with a page of its own.
  const message = told.error?.message ?? told.detail ?? `The answer was ${response.status}, without a reason. Try again later.`;
  throw new Error(wait ? `${message} Wait ${wait} s.` : message);
}

function wish() {
  const body = { input: $("text").value, voice: $("voice").value, response_format: $("format").value, speed: Number($("speed").value) };
  if ($("kind").value !== "text") body.input_type = $("kind").value;
  if ($("language").value.trim()) body.language = $("language").value.trim();
  return body;
}

async function listVoices() {
  try {
    const { voices } = await (await ask("/v1/audio/voices")).json();
    const chosen = $("voice").value;
    $("voice").replaceChildren(...voices.map(({ id, alias_of: of, language }) => new Option(`${id} (${of ?? language})`, id)));
    const first = chosen || "default";
    if (voices.some(({ id }) => id === first)) $("voice").value = first;
  } catch (error) {
    complain(error.message);
  }
}

function show(facts) {
  $("facts").replaceChildren(...facts.flatMap(([name, value]) => {
    const term = document.createElement("dt"), what = document.createElement("dd");
    term.textContent = name;
    what.append(value);
    return [term, what];
  }));
}

function link(text, href, download) {
  const element = document.createElement("a");
  Object.assign(element, { textContent: text, href });
  if (download) element.download = download;
  return element;
}

const play = () => $("player").play().catch((error) => { if (error.name === "NotAllowedError") say("Press play to hear it."); });

// A player's buffer, filled while the sound comes; null where the browser has none for the format.
async function feeding(type) {
  if (!window.MediaSource?.isTypeSupported(type)) return null;
  const source = new MediaSource();
  $("player").src = URL.createObjectURL(source);
  await happened(source, "sourceopen");
  const buffer = source.addSourceBuffer(type);
  play();
  return {
    // Whether there was room: browsers keep some ten minutes, and throw when they have them.
    async add(bytes) {
      try { buffer.appendBuffer(bytes); } catch { return false; }
      await happened(buffer, "updateend");
      return source.readyState === "open";
    },
    end() { if (source.readyState === "open") source.endOfStream(); },
  };
}

// Plays a body as it comes, where the browser can; resolves to the whole, and whether the player has some or all of it.
async function follow(response, type) {
  const reader = response.body.getReader();
  const feed = await feeding(type);
  const parts = [];
  let fed = Boolean(feed);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return { whole: new Blob(parts, { type }), started: Boolean(feed), fed };
      parts.push(value);
      if (fed) fed = await feed.add(value);
    }
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The connection was cut before all of it had come. Speak again: what is in the cache by now comes from there.");
  } finally {
    feed?.end();
  }
}

// From the beginning, or from where the player, which had a part of it, has come to.
function playWhole(started) {
  const player = $("player"), at = player.currentTime, paused = started && player.paused && !player.ended;
  player.src = kept;
  if (started) player.currentTime = at;
  if (!paused) play();
}

async function speak(event) {
  event.preventDefault();
  if (current) return current.abort();
  current = new AbortController();
  const { signal } = current;
  const began = performance.now();
  const since = () => `${Math.round(performance.now() - began)} ms`;
  complain("");
  say("Waiting for the first sound.");
  $("speak").textContent = "Stop";
  try {
    if (!$("voice").length) await listVoices(); // a key that was sent off with Enter
    const body = wish();
    const response = await ask("/v1/audio/speech", { body, signal });
    const first = since();
    if (key()) sessionStorage.setItem("key", key());
    $("player").pause();
    $("facts").replaceChildren();
    $("result").hidden = false;
    say("The sound is coming.");
    const address = response.headers.get("Content-Location");
    const type = response.headers.get("Content-Type").split(";")[0];
    let { whole, started, fed } = await follow(response, type);
    const complete = since();
    // Asked again, the lengths in the head are right, and the browser can seek.
    const again = LENGTHS_IN_HEAD.has(body.response_format) && !response.headers.has("Content-Length");
    if (again) whole = await (await ask(address, { signal })).blob();
    if (kept) URL.revokeObjectURL(kept);
    kept = URL.createObjectURL(whole);
    if (!fed) playWhole(started);
    const name = `${address.split("/").pop().slice(0, 12)}.${body.response_format}`;
    const file = `${address}.${body.response_format}`;
    show([
      ["From", response.headers.get("Cache-Status").startsWith("refrain; hit") ? "the cache" : "a provider"],
      ["First sound", first],
      ["Complete", complete],
      ["Download", link(`${name}, ${Math.ceil(whole.size / 1024)} KiB`, kept, name)],
      ["Again at", key() ? `${file} (with the key)` : link(file, file)],
    ]);
    say("All of it is here.");
  } catch (error) {
    const stopped = error.name === "AbortError"; // else what has come is heard to its end
    if (stopped) $("player").pause();
    say(stopped ? "Stopped." : "");
    if (!stopped) complain(error.message);
  } finally {
    current = null;
    $("speak").textContent = "Speak";
  }
}

async function estimate() {
  if (!$("form").reportValidity()) return;
  complain("");
  try {
    const plan = await (await ask("/v1/speech/plan", { body: wish() })).json();
    const money = (sum) => Number(sum).toLocaleString("en", { maximumSignificantDigits: 3 });
    const most = plan.cost_at_most > plan.cost ? `, at the most ${money(plan.cost_at_most)}` : "";
    say(`${plan.characters} characters, about ${Math.round(plan.seconds)} seconds of speech. To be spoken anew: ` +
        `${plan.billable_characters} characters; cost ${money(plan.cost)}${most}.`);
    if (plan.refused) complain(plan.refused.message);
  } catch (error) {
    say("");
    complain(error.message);
  }
}

function tellCommand() {
  if (!$("program").open) return;
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  $("curl").textContent = [
    `curl ${location.origin}/v1/audio/speech`,
    ...($("asked").hidden ? [] : ['-H "Authorization: Bearer $KEY"']), // the key itself would end up in a shell's history
    "-H 'Content-Type: application/json'",
    `-d ${quoted(JSON.stringify(wish()))}`,
    `-o speech.${$("format").value}`,
  ].join(" \\\n  ");
}

$("key").value = sessionStorage.getItem("key") ?? "";
if (key()) $("asked").hidden = false;
$("key").addEventListener("change", () => { complain(""); if (!$("voice").length) listVoices(); });
$("form").addEventListener("submit", speak);
$("text").addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !current) $("form").requestSubmit(); });
$("estimate").addEventListener("click", estimate);
// While it is filled, the player fails for want of what did not come, too.
$("player").addEventListener("error", () => kept && $("player").src === kept && complain(`This browser cannot play ${$("format").value}. Choose another format, or download it.`));
$("program").addEventListener("toggle", tellCommand);
$("form").addEventListener("input", tellCommand);
$("copy").hidden = !navigator.clipboard; // where the page came by plain HTTP from another machine
$("copy").addEventListener("click", async () => {
  tellCommand();
  await navigator.clipboard.writeText($("curl").textContent).then(() => say("Copied."), () => say("The browser does not let it be copied: mark it and copy it yourself."));
});
listVoices();
