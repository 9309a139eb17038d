// Connection and controls. The page never decides whether a motion may run: it says what the person does, and shows what the
// server answers. Holding is kept alive from here, from the main thread, so that a page that hangs lets go.
import { Picture } from "./picture.js";
import { mine, modeOf, render, requestTo, whyNot } from "./view.js";

const $ = (id) => document.getElementById(id);
const HOLD_PERIOD_MS = 33;
const LINK_LIMIT_MS = 500;
const STILL_PERIOD_MS = 60;
const VIDEO_LIMIT_MS = 700;
// A suggestion that appeared under the finger is not approved by it.
const CARD_SETTLE_S = 0.4;

const picture = new Picture($("picture"), $("labels"), $("overlay"));
const state = { linked: false, silent: 0, pressed: false, lost: false, stopping: false, stopFailed: false, videoLate: false, notice: 0, noticeBase: 0, noticeUntil: 0, noticeWords: "" };
let socket = null, hello = null, view = null, viewAt = 0, drawn = 0, drawnAt = 0, dirty = false, openedAt = 0;
let hold = null, presses = 0, holdTimer = null, stopTimer = null;

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    if (typeof data !== "string") { picture.take(data, hello?.classes ?? []); return; }
    const message = JSON.parse(data);
    if (message.t === "hello") { hello = message; presses = 0; state.noticeBase = Infinity; }
    if (message.t === "view") {
      if (state.noticeBase === Infinity) state.noticeBase = message.notices.at(-1)?.n ?? 0;
      view = message; viewAt = performance.now(); dirty = true;
    }
  };
  socket.onopen = () => { openedAt = performance.now(); };
  socket.onclose = () => {
    release();
    socket = null;
    // A session that ended answers 401: back to the log-in.
    fetch("/app.css", { method: "GET", cache: "no-store" }).then(
      (r) => (r.status === 401 ? location.assign("/login") : setTimeout(connect, 700)),
      () => setTimeout(connect, 700),
    );
  };
}

function send(message) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

// --- hold to run ---------------------------------------------------------------------------------------------------
function press() {
  if (hold || state.lost) return;
  if (whyNot(view, hello, state.linked)) return;
  const card = view.card;
  if (card.phase === "offered" && card.shown_s < CARD_SETTLE_S) return;
  presses += 1;
  hold = { digest: card.digest, press: presses, since: performance.now() };
  state.pressed = true;
  if (card.phase === "offered") send({ t: "approve", id: card.id, digest: card.digest, seen: drawn });
  keep();
  holdTimer = setInterval(keep, HOLD_PERIOD_MS);
  dirty = true;
}

function keep() {
  if (hold) send({ t: "hold", digest: hold.digest, down: true, press: hold.press, seen: drawn });
}

// Stops the stream; with `lost`, the finger is still down and has to come up before the next press.
function release(lost = false) {
  clearInterval(holdTimer);
  holdTimer = null;
  if (hold) send({ t: "hold", digest: hold.digest, down: false, press: hold.press, seen: drawn });
  hold = null;
  state.pressed = false;
  state.lost = lost;
  dirty = true;
}

// The server's word on the hold: if it does not count ours, say so instead of pretending.
function checkHold() {
  if (!hold || !view) return;
  if (view.card?.digest !== hold.digest) release(false);
  else if (view.holding !== hello?.conn && performance.now() - hold.since > 400) release(true);
}

// --- e-stop --------------------------------------------------------------------------------------------------------
function stop() {
  release();
  if (stopTimer) return;
  const since = performance.now();
  const insist = () => {
    const confirmed = view?.safety?.e_stop && viewAt > since;
    state.stopFailed = !confirmed && performance.now() - since > 600;
    if (confirmed) { clearInterval(stopTimer); stopTimer = null; state.stopping = false; } else send({ t: "request", what: "e_stop" });
    dirty = true;
  };
  state.stopping = true;
  stopTimer = setInterval(insist, 100);
  insist();
}

// --- everything else -----------------------------------------------------------------------------------------------
function request(what) { if (what && mine(view, hello)) send({ t: "request", what }); }
function reject() {
  if (!view?.card || !mine(view, hello)) return;
  release();
  send({ t: "reject", id: view.card.id, digest: view.card.digest });
}
function ask(skill, arm) { if (mine(view, hello) && modeOf(view) === "SUPERVISED") send({ t: "skill", skill, arm }); }
function toggleLabels() {
  picture.cycleLabels();
  $("toggle-labels").setAttribute("aria-pressed", String(picture.labelMode !== "off"));
  $("toggle-labels").lastElementChild.textContent = picture.labelMode === "all" ? "All tissue" : "Anatomy";
  dirty = true;
}
function toggleGhost() {
  picture.ghostOn = !picture.ghostOn;
  $("toggle-ghost").setAttribute("aria-pressed", String(picture.ghostOn));
  dirty = true;
}

function toggleModels() {
  picture.modelsOn = !picture.modelsOn;
  $("toggle-models").setAttribute("aria-pressed", String(picture.modelsOn));
  dirty = true;
}

const KEYS = {
  Digit0: () => request(requestTo(view, "DISABLED")), Digit1: () => request(requestTo(view, "READY")),
  Digit2: () => request(requestTo(view, "SUPERVISED")), Digit3: () => request(requestTo(view, "TELEOP")),
  KeyX: () => modeOf(view) === "FAULT" && request("reset"),
  KeyR: reject, KeyT: () => ask("retract", "PSM1"), KeyC: () => ask("centre_camera", "ECM"),
  KeyO: toggleLabels, KeyG: toggleGhost, KeyF: toggleModels, KeyS: () => send({ t: "take_seat" }),
  KeyZ: () => !view?.safety?.shadow && request("read_zones"),
};
// Foot pedals usually type Space, Page Down or F13.
const HOLD_KEYS = new Set(["Space", "PageDown", "F13"]);
const down = new Set();

addEventListener("keydown", (e) => {
  if (e.code === "Escape") { e.preventDefault(); if (!e.repeat) stop(); return; }
  if (e.ctrlKey || e.altKey || e.metaKey) return;
  if (HOLD_KEYS.has(e.code)) {
    e.preventDefault();
    if (!e.repeat) { down.add(e.code); press(); }
  } else if (KEYS[e.code] && !e.repeat) {
    e.preventDefault();
    KEYS[e.code]();
  }
}, { capture: true });
addEventListener("keyup", (e) => {
  if (!HOLD_KEYS.has(e.code)) return;
  e.preventDefault();
  down.delete(e.code);
  if (down.size === 0) release();
}, { capture: true });
for (const lets of ["blur", "pagehide", "freeze"]) addEventListener(lets, () => { down.clear(); release(); });
document.addEventListener("visibilitychange", () => { if (document.hidden) { down.clear(); release(); } });
addEventListener("contextmenu", (e) => e.preventDefault());

const button = $("hold");
button.addEventListener("pointerdown", (e) => {
  if (e.button !== 0) return;
  button.setPointerCapture(e.pointerId);
  press();
});
for (const up of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(up, () => release());
$("estop").addEventListener("pointerdown", stop);
$("estop").addEventListener("click", stop);
$("reject").addEventListener("click", reject);
$("reset").addEventListener("click", KEYS.KeyX);
$("ask-retract").addEventListener("click", KEYS.KeyT);
$("ask-centre").addEventListener("click", KEYS.KeyC);
$("toggle-labels").addEventListener("click", toggleLabels);
$("toggle-ghost").addEventListener("click", toggleGhost);
$("toggle-models").addEventListener("click", toggleModels);
$("take-seat").addEventListener("click", KEYS.KeyS);
$("read-zones").addEventListener("click", KEYS.KeyZ);
for (const b of document.querySelectorAll("#selector [data-to]")) b.addEventListener("click", () => request(requestTo(view, b.dataset.to)));

// --- drawing -------------------------------------------------------------------------------------------------------
// `drawn` goes back with every hold: it says which view the person has in front of the eyes.
function frame(now) {
  requestAnimationFrame(frame);
  const silent = now - (view ? viewAt : openedAt), linked = silent < LINK_LIMIT_MS && Boolean(view);
  if (linked !== state.linked) { state.linked = linked; dirty = true; if (!linked) release(hold !== null); }
  const late = Boolean(view && !view.picture.stale && (!picture.shown || now - picture.shown.at > VIDEO_LIMIT_MS));
  if (late !== state.videoLate) { state.videoLate = late; dirty = true; }
  state.silent = silent / 1000;
  document.body.dataset.link = linked && !late ? "up" : "down";
  // Everything changes with the picture, so that one picture costs one composition; without pictures, a little later.
  if (!picture.show() && now - drawnAt < STILL_PERIOD_MS) return;
  if (!view || !(dirty || !linked)) return;
  dirty = false;
  drawnAt = now;
  checkHold();
  state.modelsOn = picture.modelsOn;
  render(view, hello, state);
  picture.draw(linked && !late ? view : null, now);
  if (linked) drawn = view.seq;
}
connect();
requestAnimationFrame(frame);
