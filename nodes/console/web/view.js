import { colourOf } from "./picture.js";

// Puts a view into the document. Text only ever goes in through textContent.
const $ = (id) => document.getElementById(id);
const text = (id, value) => { const e = $(id); if (e.textContent !== value) e.textContent = value; };
const show = (id, yes) => { $(id).hidden = !yes; };
const ICONS = { DISABLED: "i-off", READY: "i-ready", SUPERVISED: "i-run", TELEOP: "i-hand", HOLD: "i-pause", FAULT: "i-fault", UNKNOWN: "i-fault" };
// The request that leads from a mode to another; none where there is no way in one step.
const WAYS = {
  DISABLED: { READY: "enable" },
  READY: { DISABLED: "disable", SUPERVISED: "supervise", TELEOP: "teleop" },
  SUPERVISED: { READY: "ready", DISABLED: "disable" },
  TELEOP: { READY: "ready", DISABLED: "disable" },
  HOLD: { READY: "ready", DISABLED: "disable" },
  FAULT: {}, UNKNOWN: {},
};
const NEXT = { DISABLED: "READY", READY: "SUPERVISED", HOLD: "READY" };

export const requestTo = (view, to) => WAYS[modeOf(view)]?.[to] ?? null;
export const modeOf = (view) => (view?.safety && !view.safety.stale ? view.safety.mode : "UNKNOWN");
export const mine = (view, hello) => Boolean(view?.seat && hello && view.seat.conn === hello.conn);

// Why the hold button does nothing now; empty if it works.
export function whyNot(view, hello, linked) {
  if (!linked) return "No connection";
  if (!mine(view, hello)) return "You are watching";
  if (!view.card) return "No suggestion";
  if (view.picture.stale) return "Picture is stale";
  if (modeOf(view) !== "SUPERVISED") return "Choose Supervise first";
  return "";
}

export function render(view, hello, state) {
  const mode = modeOf(view), safety = view.safety;
  document.body.dataset.mode = mode;
  document.body.dataset.stale = view.picture.stale ? "yes" : "no";
  $("mode-icon").setAttribute("href", `#${ICONS[mode]}`);
  text("mode-name", mode === "UNKNOWN" ? "NO DATA" : safety.shadow ? "SHADOW" : mode);
  text("mode-meaning", mode === "UNKNOWN" ? "The safety node is silent" : safety.cause ? `${safety.meaning}: ${safety.cause}` : safety.meaning);
  renderArms(view);
  ["l-picture", "l-seen", "l-scene"].forEach((id, i) => renderLatency(id, view.latency_ms[i]));
  renderStale(view, state);
  renderLines(view);
  renderModels(view, state);
  renderCard(view);
  renderHold(view, hello, state);
  renderAlarms(view, state);
  renderModes(view, hello, mode);
  renderHint(view, hello, state);
}

function renderArms(view) {
  const list = $("arms");
  while (list.children.length < view.arms.length) {
    const item = document.createElement("li");
    item.append(document.createElement("b"), document.createElement("span"));
    list.append(item);
  }
  view.arms.forEach((arm, i) => {
    const item = list.children[i], warn = /disagree|kinematics|aligning|not seen|fault/.test(arm.words);
    item.dataset.state = arm.stale ? "stale" : warn ? "warn" : arm.words === "off" || arm.words === "paused" ? "idle" : "good";
    item.children[0].textContent = arm.arm;
    const near = arm.nearest && !arm.stale ? ` · ${arm.nearest[0].toFixed(0)} mm` : "";
    item.children[1].textContent = (arm.moving ? "moving" : arm.words) + near;
    item.title = arm.nearest ? `${arm.nearest[0].toFixed(1)} mm from ${arm.nearest[1]}` : "";
  });
}

// Mean, and below it what all but one in a hundred keep.
function renderLatency(id, figures) {
  text(id, figures ? `${Math.round(figures[0])} ms` : "–");
  text(`${id}-p99`, figures ? `p99 ${Math.round(figures[1])}` : "");
}

function renderStale(view, state) {
  const alarm = view.alarms.find((a) => a.on_picture && a.level === "critical");
  const words = !state.linked ? `NO CONNECTION ${state.silent.toFixed(1)} s` : alarm ? alarm.words : state.videoLate ? "VIDEO LATE" : "";
  show("stale", words !== "");
  text("stale", words);
}

function renderLines(view) {
  const list = $("lines");
  list.replaceChildren(...view.lines.slice(0, 3).map(([words, age]) => {
    const item = document.createElement("li");
    item.textContent = words;
    item.className = age > 2 ? "old" : "";
    return item;
  }));
}

// One line per model; a bar per class where it scores the whole picture or covers regions of it.
function renderModels(view, state) {
  show("toggle-models", view.models.length > 0);
  show("models", state.modelsOn && view.models.length > 0);
  $("models").replaceChildren(...view.models.map((model) => {
    const item = document.createElement("li"), name = document.createElement("b");
    item.className = model.stale ? "old" : "";
    name.textContent = `${model.name} · ${said(model)}`;
    item.append(name, ...model.scores.filter(([, score], i) => score >= .01 && !(model.task === "segmentation" && i === 0)).slice(0, 5).map(bar));
    return item;
  }));
}

function said(model) {
  if (model.stale) return `silent for ${(model.age_ms / 1000).toFixed(1)} s`;
  const count = (list, one, many) => `${list.length} ${list.length === 1 ? one : many}`;
  if (model.task === "detection") return count(model.boxes, "box", "boxes");
  if (model.task === "keypoints") return count(model.points, "point", "points");
  return model.task === "segmentation" ? "shares" : "shows";
}

function bar([label, score]) {
  const row = document.createElement("span"), fill = document.createElement("i");
  fill.style.setProperty("--share", score);
  fill.style.setProperty("--tone", `rgb(${colourOf(label)})`);
  row.append(fill, `${label} ${Math.round(score * 100)}%`);
  return row;
}

const PHASES = { offered: "Suggestion", waiting: "Approved, at rest", moving: "Moving" };

function renderCard(view) {
  const card = view.card;
  show("a-card", Boolean(card));
  show("no-card", !card);
  text("ended", view.ended ?? "");
  const wait = {
    SUPERVISED: view.none_because ? `No suggestion: ${view.none_because}` : "Watching for something to suggest", READY: "Choose Supervise to let suggestions run", DISABLED: "Choose Ready to switch the arms on",
    HOLD: "Choose Ready to go on", FAULT: "Reset once it is safe",
  };
  text("no-card-words", wait[modeOf(view)] ?? "No suggestion");
  if (!card) return;
  $("a-card").dataset.phase = card.phase;
  text("c-phase", PHASES[card.phase]);
  text("c-title", card.title);
  text("c-why", card.why);
  const clearance = $("c-clearance");
  if (card.clearance_mm === null) clearance.textContent = "not measured";
  else clearance.replaceChildren(`${card.clearance_mm.toFixed(1)} mm `, small(`from ${card.clearance_to}`));
  text("c-arm", card.arm);
  text("c-duration", `${card.duration_s.toFixed(1)} s`);
  text("c-confidence", `${Math.round(card.confidence * 100)} %`);
  text("c-digest", `plan ${card.digest.slice(0, 8)}`);
  const time = $("c-time");
  const running = card.phase !== "offered";
  time.style.setProperty("--left", running ? card.progress : Math.min(1, card.left_s / card.life_s));
  time.dataset.short = !running && card.left_s < 3 ? "yes" : "no";
  text("c-left", running ? `${Math.round(card.progress * 100)} %` : `${Math.ceil(card.left_s)} s left`);
}

function small(words) {
  const e = document.createElement("small");
  e.textContent = words;
  return e;
}

function renderHold(view, hello, state) {
  const button = $("hold"), card = view.card, why = whyNot(view, hello, state.linked);
  let face;
  if (state.lost) face = ["lost", "LET GO", "then press again"];
  else if (state.pressed && card?.phase === "moving") face = ["running", "RUNNING", "let go to stop"];
  else if (state.pressed) face = ["held", "HOLDING", "waiting for the safety node"];
  else if (why) face = ["off", "Hold to run", why];
  else if (card.phase === "waiting") face = ["paused", "HOLD TO GO ON", `${Math.round(card.progress * 100)} % done · Space`];
  else face = ["ready", "HOLD TO RUN", "press and keep pressed · Space"];
  button.dataset.state = face[0];
  button.disabled = face[0] === "off";
  button.style.setProperty("--progress", card && card.phase !== "offered" ? card.progress : 0);
  text("hold-words", face[1]);
  text("hold-sub", face[2]);
  $("reject").disabled = !(card && mine(view, hello) && state.linked);
  const pressed = view.safety?.e_stop ?? false;
  $("estop").dataset.state = pressed ? "pressed" : state.stopping ? "sending" : "armed";
  $("estop").firstElementChild.textContent = pressed ? "STOPPED" : "E-STOP";
}

function renderAlarms(view, state) {
  const wanted = view.alarms.filter((a) => !(a.on_picture && a.level === "critical")).slice(0, 3);
  if (state.stopFailed) wanted.unshift({ level: "critical", words: "E-STOP NOT CONFIRMED: use the robot's own button" });
  const key = JSON.stringify(wanted.map((a) => a.words.replace(/[\d.]+ s/, "")));
  const list = $("alarms");
  if (list.dataset.key !== key) {
    list.dataset.key = key;
    list.replaceChildren(...wanted.map(() => document.createElement("li")));
  }
  wanted.forEach((a, i) => {
    list.children[i].className = a.level;
    list.children[i].textContent = a.words;
  });
}

function renderModes(view, hello, mode) {
  const own = mine(view, hello);
  for (const button of document.querySelectorAll("#selector [data-to]")) {
    const to = button.dataset.to;
    button.setAttribute("aria-pressed", String(to === mode));
    button.disabled = to !== mode && !(own && !view.safety?.shadow && requestTo(view, to));
    button.classList.toggle("next", own && NEXT[mode] === to);
  }
  show("reset", mode === "FAULT");
  document.querySelector('#selector [data-to="TELEOP"]').hidden = mode === "FAULT";
  $("reset").disabled = !own;
  $("ask-retract").disabled = $("ask-centre").disabled = !(own && mode === "SUPERVISED");
  $("read-zones").disabled = !own || mode === "UNKNOWN" || view.safety.shadow;
  text("seat-words", own ? "" : view.seat?.conn ? `Watching: ${view.seat.role === "scripted" ? "the script" : "another surgeon"} decides` : "Nobody decides");
  show("take-seat", !own);
}

function renderHint(view, hello, state) {
  const notice = view.notices.filter((n) => n.conn === hello?.conn && n.n > state.noticeBase).at(-1);
  if (notice && notice.n !== state.notice) { state.notice = notice.n; state.noticeUntil = performance.now() + 4000; state.noticeWords = notice.words; }
  const degraded = view.alarms.find((a) => a.on_picture && a.level === "warning");
  const words = performance.now() < state.noticeUntil ? state.noticeWords : degraded ? degraded.words : "";
  show("hint", words !== "");
  text("hint", words);
}
