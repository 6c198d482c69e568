"use strict";
// Types and hears. Mp3 and aac play while they are still being made, where the browser can; the rest when whole.
const $ = (id) => document.getElementById(id);
let current = null;

// Only where the server asks who speaks is there a key; it is kept for as long as the tab is open.
const key = () => $("key").value.trim();
const who = () => (key() ? { Authorization: `Bearer ${key()}` } : {});

function askForKey() {
  $("asked").hidden = false;
  $("key").focus();
}

// An element of the page can send no key: its address has to carry something that ends soon.
async function forElements(address) {
  if (!key()) return address;
  const body = JSON.stringify({ path: address });
  const response = await fetch("/v1/tokens", { method: "POST", headers: { ...who(), "Content-Type": "application/json" }, body });
  return response.ok ? `${address}?token=${(await response.json()).token}` : address;
}

async function listVoices() {
  const response = await fetch("/v1/audio/voices", { headers: who() });
  if (response.status === 401) return askForKey();
  const { voices } = await response.json();
  $("voice").replaceChildren();
  for (const voice of voices) $("voice").add(new Option(voice.alias_of ? `${voice.id} (${voice.alias_of})` : voice.id, voice.id));
}

function show(facts) {
  $("facts").replaceChildren();
  for (const [name, value] of facts) {
    const term = document.createElement("dt"), what = document.createElement("dd");
    term.textContent = name;
    if (value instanceof Node) what.append(value); else what.textContent = value;
    $("facts").append(term, what);
  }
}

// Plays a body as it comes, where the browser can; resolves to its size.
async function follow(response, type) {
  const reader = response.body.getReader();
  let size = 0;
  const source = window.MediaSource && MediaSource.isTypeSupported(type) ? new MediaSource() : null;
  let buffer = null;
  if (source) {
    $("player").src = URL.createObjectURL(source);
    await new Promise((done) => source.addEventListener("sourceopen", done, { once: true }));
    buffer = source.addSourceBuffer(type);
    $("player").play().catch(() => {});
  }
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (buffer) {
      buffer.appendBuffer(value);
      await new Promise((ready) => buffer.addEventListener("updateend", ready, { once: true }));
    }
  }
  if (source) source.endOfStream();
  return { size, playing: Boolean(source) };
}

async function speak(event) {
  event.preventDefault();
  current?.abort();
  const abort = current = new AbortController();
  $("problem").hidden = true;
  $("speak").disabled = true;
  const began = performance.now();
  try {
    const body = { input: $("text").value, voice: $("voice").value, response_format: $("format").value, speed: Number($("speed").value) };
    const response = await fetch("/v1/audio/speech", {
      method: "POST", headers: { ...who(), "Content-Type": "application/json" }, body: JSON.stringify(body), signal: abort.signal,
    });
    const first = performance.now() - began;
    if (response.status === 401) askForKey();
    if (!response.ok) throw new Error((await response.json()).error.message);
    $("result").hidden = false;
    const address = response.headers.get("Content-Location");
    sessionStorage.setItem("key", key());
    const { size, playing } = await follow(response, response.headers.get("Content-Type").split(";")[0]);
    const link = document.createElement("a");
    link.textContent = key() ? address : `${address}.${body.response_format}`;
    link.href = await forElements(link.textContent);
    // By its address the lengths in the head are right, and the browser can seek.
    if (!playing) { $("player").src = link.href; $("player").play().catch(() => {}); }
    show([
      ["From", response.headers.get("Cache-Status").startsWith("refrain; hit") ? "the cache" : "a provider"],
      ["First sound", `${first.toFixed(0)} ms`],
      ["Complete", `${(performance.now() - began).toFixed(0)} ms, ${(size / 1024).toFixed(0)} KiB`],
      ["Again at", link],
    ]);
  } catch (error) {
    if (error.name === "AbortError") return;
    $("problem").textContent = error.message || "The connection was cut before all of it had come.";
    $("problem").hidden = false;
  } finally {
    $("speak").disabled = false;
  }
}

$("key").value = sessionStorage.getItem("key") ?? "";
$("asked").hidden = !key();
$("key").addEventListener("change", listVoices);
$("form").addEventListener("submit", speak);
listVoices();
