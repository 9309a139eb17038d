// A person at the console, in real Chromium, against the whole stack: from the log-in to an executed motion, letting go in the
// middle of one, the e-stop, and a camera that freezes. What happened is judged by what the safety node and the arms report.
import assert from "node:assert/strict";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { openPage, sleep, startBrowser, startStack, until } from "./stack.mjs";

// How long the system may take to suggest something.
const SUGGESTION_MS = 45_000;
const ATTEMPTS = 4;
const SCREENSHOTS = process.env.PROCTOR_SCREENSHOTS;

let stack, browser, context, page, tap;

before(async () => {
  stack = await startStack();
  browser = await startBrowser();
  context = await browser.newContext({ viewport: { width: 1600, height: 900 } });
  ({ page, tap } = await openPage(context));
}, { timeout: 120_000 });

after(async () => {
  await browser?.close();
  await stack?.stop();
});

// A new stack with this page logged in: the scene as it was at the start, and with it a suggestion.
async function fresh() {
  await page.goto("about:blank");
  await stack.stop();
  stack = await startStack();
  Object.assign(tap, { view: null, views: [], sent: [] });
  await logIn();
}

async function logIn() {
  await page.goto(stack.url);
  await enterToken();
  await until("the first view", () => tap.view);
}

// On the log-in page.
async function enterToken() {
  await page.fill("#token", stack.token);
  await page.keyboard.press("Enter");
  await page.waitForURL(stack.url);
  await page.locator('body[data-link="up"]').waitFor({ timeout: 20_000 });
}

const shot = async (name) => { if (SCREENSHOTS) await page.screenshot({ path: `${SCREENSHOTS}/${name}.png` }); };
const mode = () => tap.view?.safety?.mode;
const toMode = async (key, wanted) => {
  // As a person does: press again if nothing happened.
  await until(`mode ${wanted}`, async () => {
    if (mode() === wanted) return true;
    await page.keyboard.press(key);
    await sleep(400);
    return mode() === wanted;
  }, 20_000);
  await page.locator(`body[data-mode="${wanted}"]`).waitFor();
};
const anyArmMoves = () => tap.view.arms.some((a) => a.moving);

// Waits for a suggestion that can be held, and returns its digest. As a person does: what stopped the system meanwhile (a busy
// machine's late picture) is cleared and supervision asked for again.
async function suggestion() {
  const ready = page.locator('#hold[data-state="ready"]');
  await until("a suggestion can be held", async () => {
    if (mode() === "DISABLED") await page.keyboard.press("1");
    if (mode() === "READY") await page.keyboard.press("2");
    if (mode() === "HOLD") await page.keyboard.press("1");
    if (mode() === "SUPERVISED" && tap.view.card?.phase === "offered" && tap.view.card.shown_s > 0.5 && await ready.isVisible()) return true;
    await sleep(300);
    return false;
  }, SUGGESTION_MS);
  return tap.view.card.digest;
}

// Holds a suggestion until `done` says so: a person whose hold is lost on a busy machine lets go and presses again. If the
// suggestion is withdrawn on the way, what is left of it may be too little to suggest, so another stack gets another try.
// Returns the digest of the motion held last; it is still held.
async function holdUntil(what, done, down, up) {
  const why = [];
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const digest = await suggestion();
    await down();
    const over = await until(what, async () => {
      if (done(digest)) return "done";
      if (tap.view.card?.digest !== digest) return "gone";
      if ((await page.locator("#hold").getAttribute("data-state")) === "lost") { await up(); await sleep(200); await down(); }
    }, 20_000);
    // A motion that ends takes its card away in the same view that counts it.
    if (over === "done" || done(digest)) return digest;
    await up();
    why.push(...stack.said.filter((line) => line.includes("withdrawn")).map((line) => line.replace(/^.*reason\S*?=/, "")));
    await fresh();
  }
  throw new Error(`${ATTEMPTS} suggestions were withdrawn before ${what}: ${why.join("; ")}`);
}

const holdUntilMoving = (down, up) =>
  holdUntil("the motion moves", (digest) => tap.view.card?.digest === digest && tap.view.safety.moving && anyArmMoves(), down, up);

const spaceDown = () => page.keyboard.down("Space");
const spaceUp = () => page.keyboard.up("Space");

test("whoever is not logged in gets the log-in page and nothing else", async () => {
  const get = (path, init) => fetch(new URL(path, stack.url), { redirect: "manual", ...init });
  const root = await get("/");
  assert.equal(root.status, 303);
  assert.equal(root.headers.get("location"), "/login");
  assert.equal(await root.text(), "");
  for (const path of ["/app.js", "/view.js", "/picture.js", "/app.css", "/ws", "/index.html", "/api", "/../Cargo.toml"]) {
    const answer = await get(path);
    assert.equal(answer.status, 401, path);
    assert.equal(await answer.text(), "", path);
  }
  const forged = await get("/app.js", { headers: { cookie: `proctor_session=${"0".repeat(64)}` } });
  assert.equal(forged.status, 401);
  assert.match(await rawUpgrade({}), /^HTTP\/1\.1 403/, "no origin at all");
  assert.match(await rawUpgrade({ origin: new URL(stack.url).origin }), /^HTTP\/1\.1 401/, "no session");
  const login = await get("/login");
  assert.match(login.headers.get("content-security-policy"), /default-src 'none'/);
  assert.doesNotMatch(await login.text(), /<script/);
});

test("a wrong token is refused, the right one opens the console", async () => {
  await page.goto(stack.url);
  assert.equal(new URL(page.url()).pathname, "/login");
  await shot("login");
  await page.fill("#token", "0123456789abcdef0123456789abcdef");
  await page.keyboard.press("Enter");
  await page.locator(".error", { hasText: "wrong" }).waitFor();
  tap.problems.length = 0; // Chromium reports the 401 of the refused log-in.
  await enterToken();
  const cookie = (await context.cookies()).find((c) => c.name === "proctor_session");
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict" && cookie.value !== stack.token);
  assert.equal(await page.evaluate(() => document.cookie), "");
});

test("the token works only once, and a foreign origin is refused", async () => {
  const body = new URLSearchParams({ token: stack.token });
  const origin = new URL(stack.url).origin;
  const again = await fetch(new URL("/login", stack.url), { method: "POST", body, redirect: "manual", headers: { origin } });
  assert.equal(again.status, 401);
  assert.equal(again.headers.get("set-cookie"), null);
  const cookie = (await context.cookies()).map((c) => `${c.name}=${c.value}`).join("; ");
  assert.match(await rawUpgrade({ cookie, origin: "http://evil.example" }), /^HTTP\/1\.1 403/);
  assert.match(await rawUpgrade({ cookie }), /^HTTP\/1\.1 403/, "no origin at all");
  assert.match(await rawUpgrade({ cookie, origin, host: "evil.example" }), /^HTTP\/1\.1 421/, "another host name");
});

test("the picture is live and the page says what it is", async () => {
  const seen = tap.pictures;
  await until("ten more pictures", () => tap.pictures > seen + 10);
  const light = await page.evaluate(() => {
    const canvas = document.getElementById("picture");
    const { data } = canvas.getContext("2d").getImageData(0, 0, 640, 480);
    return data.reduce((sum, v, i) => sum + (i % 4 === 3 ? 0 : v), 0) / (640 * 480 * 3);
  });
  assert.ok(light > 15, `mean brightness ${light}`);
  await page.getByText("research software, not a medical device").waitFor();
  const cut = await page.evaluate(() => { const d = document.getElementById("disclaimer"); return d.scrollWidth > d.clientWidth || d.scrollHeight > d.clientHeight + 1 || d.getBoundingClientRect().right > innerWidth; });
  assert.ok(!cut, "the disclaimer is whole");
  assert.equal(mode(), "DISABLED", "the system starts with its gate closed");
  await page.locator('body[data-mode="DISABLED"]').waitFor();
  await shot("disabled");
});

test("it can be read at two metres", async () => {
  const sizes = await page.evaluate(() => {
    const size = (id) => parseFloat(getComputedStyle(document.getElementById(id)).fontSize);
    const box = (id) => { const b = document.getElementById(id).getBoundingClientRect(); return [b.width, b.height]; };
    return { mode: size("mode-name"), hold: size("hold-words"), stale: size("stale"), holdBox: box("hold"), stopBox: box("estop"), frame: box("frame") };
  });
  assert.ok(sizes.mode >= 32 && sizes.hold >= 40 && sizes.stale >= 44, JSON.stringify(sizes));
  assert.ok(sizes.holdBox[0] >= 380 && sizes.holdBox[1] >= 120 && sizes.stopBox[1] >= 80, JSON.stringify(sizes));
  assert.ok(sizes.frame[0] * sizes.frame[1] > 0.4 * 1600 * 900, "the picture has most of the screen");
});

test("zones are read again when the surgeon asks, and that is told", async () => {
  await page.keyboard.press("z");
  await page.locator("#lines", { hasText: /Zones and policies were read again: \d+ zones? holds?/ }).waitFor();
  await page.locator("#read-zones:enabled").waitFor();
});

test("enable, supervise, hold: the motion is executed", { timeout: 180_000 }, async () => {
  await toMode("1", "READY");
  await toMode("2", "SUPERVISED");
  const digest = await holdUntil("the motion is executed", () => tap.view.safety.executed > 0, spaceDown, spaceUp);
  await spaceUp();
  const approvals = tap.sent.filter((m) => m.t === "approve");
  assert.deepEqual([...new Set(approvals.map((m) => m.digest))], [digest], "exactly what was shown was approved");
  assert.equal(tap.view.safety.violations, 0);
  await page.locator("#ended", { hasText: "done" }).waitFor({ state: "attached", timeout: 3000 });
  await shot("executed");
});

test("letting go in the middle of a motion stops the arm; holding again goes on", { timeout: 180_000 }, async () => {
  await fresh();
  const hold = page.locator("#hold");
  const { x, y, width, height } = await hold.boundingBox();
  await page.mouse.move(x + width / 2, y + height / 2);
  const digest = await holdUntilMoving(() => page.mouse.down(), () => page.mouse.up());
  await sleep(150);
  await shot("ghost-moving");
  await page.mouse.up();
  const released = Date.now();
  let again = Infinity;
  await until("the safety node stops the motion", () => tap.view.at >= released && !tap.view.safety.moving, 1000);
  await until("every arm rests", () => !anyArmMoves(), 1500);
  const rested = tap.view.card?.progress;
  await shot("released");
  const since = tap.views.length;
  await sleep(800);
  assert.ok(tap.views.slice(since).every((v) => !v.safety.moving), "it stays at rest");
  if (tap.view.card?.digest === digest) {
    assert.ok(tap.view.card.progress - rested < 0.02, `progress ${rested} to ${tap.view.card.progress}`);
    again = Date.now();
    await page.mouse.down();
    await until("the motion goes on, or was withdrawn meanwhile", () => tap.view.safety.moving || tap.view.card?.digest !== digest);
    await page.mouse.up();
  }
  const late = tap.sent.filter((m) => m.t === "hold" && m.down && m.at > released + 50 && m.at < again);
  assert.deepEqual(late, [], "nothing says hold after the release");
});

test("a page that hangs lets go by itself, and the same press does not resume", { timeout: 180_000 }, async () => {
  await fresh();
  await holdUntilMoving(spaceDown, spaceUp);
  const from = tap.views.length;
  await page.evaluate(() => { const end = performance.now() + 700; while (performance.now() < end); });
  await until("the hang ended", () => tap.views.length > from + 3);
  assert.ok(tap.views.slice(from).some((v) => !v.safety.moving), "the motion stopped while the page hung");
  await sleep(500);
  assert.equal(tap.view.holding, null, "the finger is still down, and nobody holds");
  await page.locator('#hold[data-state="lost"], #hold[data-state="off"]').waitFor({ timeout: 3000 });
  await spaceUp();
});

test("leaving the window lets go", { timeout: 180_000 }, async () => {
  await fresh();
  await holdUntilMoving(spaceDown, spaceUp);
  await page.evaluate(() => window.dispatchEvent(new Event("blur")));
  const left = Date.now();
  await until("the motion stops", () => tap.view.at > left + 20 && !tap.view.safety.moving, 1000);
  await spaceUp();
});

test("reject takes the suggestion away", { timeout: 180_000 }, async () => {
  await fresh();
  const digest = await suggestion();
  await page.keyboard.press("r");
  await until("the suggestion is gone", () => tap.view.card?.digest !== digest, 2000);
  assert.equal(tap.view.holding, null);
});

test("a frozen camera is shown over the picture, and nothing can be approved on it", { timeout: 180_000 }, async () => {
  await fresh();
  await suggestion();
  stack.say("fault camera_frozen on");
  const banner = page.locator("#stale");
  await banner.waitFor({ state: "visible", timeout: 5000 });
  assert.match(await banner.textContent(), /CAMERA (FROZEN|STALE) \d+\.\d s|PICTURE UNUSABLE/);
  assert.equal(await page.locator("body").getAttribute("data-stale"), "yes");
  await shot("frozen");
  const sent = tap.sent.length;
  await page.keyboard.press("Space", { delay: 300 });
  assert.deepEqual(tap.sent.slice(sent).filter((m) => m.t === "approve" || (m.t === "hold" && m.down)), []);
  assert.ok(!tap.view.safety.moving);
  stack.say("fault camera_frozen off");
  await banner.waitFor({ state: "hidden", timeout: 10_000 });
});

test("the e-stop stops a running motion and latches until it is reset", { timeout: 180_000 }, async () => {
  await fresh();
  await holdUntilMoving(spaceDown, spaceUp);
  await page.keyboard.press("Escape");
  await until("the e-stop is latched", () => tap.view.safety.mode === "FAULT" && tap.view.safety.e_stop, 1000);
  await until("every arm rests", () => !anyArmMoves() && !tap.view.safety.moving, 1500);
  await page.locator('#estop[data-state="pressed"]').waitFor();
  await shot("estop");
  await spaceUp();
  await page.keyboard.press("2");
  await sleep(500);
  assert.equal(mode(), "FAULT", "nothing but a reset leaves it");
  await toMode("x", "DISABLED");
});

test("a second window of the same person takes over, and the e-stop button works with the mouse", async () => {
  const second = await openPage(context);
  await second.page.goto(stack.url);
  await second.page.locator('body[data-link="up"]').waitFor();
  await page.locator("#seat-words", { hasText: "Watching" }).waitFor();
  await page.locator("#estop").click();
  await until("the e-stop is latched", () => tap.view.safety.e_stop, 1500);
  // A reset is refused until everything rests: pressed again, as a person would.
  for (let i = 0; i < 10 && tap.view.safety.e_stop; i++) {
    await second.page.keyboard.press("x");
    await second.page.waitForTimeout(500);
  }
  await until("it is reset", () => !tap.view.safety.e_stop, 5000);
  await second.page.close();
});

test("what models of every other task find is drawn and told, and can be switched off", { timeout: 120_000 }, async () => {
  const folder = "nodes/perception/tests/models";
  const names = ["blobs_heatmaps", "colour_logits", "squares_yolo_v8", "zone_binary"];
  await page.goto("about:blank");
  await stack.stop();
  stack = await startStack(names.map((n) => `--model ${folder}/${n}`).join(" "));
  Object.assign(tap, { view: null, views: [], sent: [] });
  await logIn();
  await until("every model speaks", () => tap.view.models.length === names.length && tap.view.models.every((m) => !m.stale), 20_000);
  assert.deepEqual(tap.view.models.map((m) => m.task), ["keypoints", "classification", "detection", "segmentation"]);
  const list = page.locator("#models li");
  assert.equal(await list.count(), names.length);
  // The likeliest colour of a picture of tissue is red; its bar comes first.
  await until("the classifier's bars", async () => /^red \d+%$/.test(await list.nth(1).locator("span").first().textContent()));
  // Pixels of the overlay in the box's colour (sky blue for "red"): there with the models on, gone with them off.
  const sky = () => page.evaluate(() => {
    const c = document.getElementById("overlay"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
    let n = 0;
    for (let i = 0; i < d.length; i += 4) if (d[i] === 86 && d[i + 1] === 180 && d[i + 2] === 233 && d[i + 3] === 255) n++;
    return n;
  });
  await until("boxes are drawn", async () => tap.view.models[2].boxes.length > 0 && (await sky()) > 100);
  await shot("models");
  await page.keyboard.press("f");
  await until("they are gone", async () => (await sky()) === 0 && !(await page.locator("#models").isVisible()));
  await page.keyboard.press("f");
});

test("the page had no errors", () => {
  assert.deepEqual(tap.problems, []);
});

// Answers the status line and headers of a WebSocket handshake with exactly these headers.
function rawUpgrade({ host, ...headers }) {
  const url = new URL(stack.url);
  const lines = ["GET /ws HTTP/1.1", `Host: ${host ?? url.host}`, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", ...Object.entries(headers).map(([k, v]) => `${k}: ${v}`)];
  return new Promise((done, failed) => {
    const socket = connect(Number(url.port), url.hostname, () => socket.write(`${lines.join("\r\n")}\r\n\r\n`));
    socket.once("data", (d) => { done(d.toString()); socket.destroy(); });
    socket.once("error", failed);
  });
}
