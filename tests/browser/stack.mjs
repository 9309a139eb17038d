// Starts what is to be tested and the browser, and reads what the console says over its WebSocket.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
// The whole stack, with fewer pictures so that a browser that draws in software has room on two cores. PROCTOR_STACK (a shell
// command) replaces it.
const COMMAND = process.env.PROCTOR_STACK ?? "target/release/proctor demo --console-port 0 --camera-fps 15";
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const START_MS = 60_000;

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// Waits until `check` gives something truthy, and returns it.
export async function until(what, check, ms = 10_000) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain until ${what}`);
    await sleep(20);
  }
}

// `more` are further arguments of the stack's command.
export async function startStack(more = "") {
  const child = spawn("/bin/sh", ["-c", `exec ${COMMAND} ${more}`], { cwd: ROOT, stdio: ["pipe", "pipe", "pipe"] });
  const said = [];
  const found = {};
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      said.push(line);
      const [, key, value] = /^(console|token): (\S+)$/.exec(line.trim()) ?? [];
      if (key) found[key] = value;
    });
  }
  let exit = null;
  child.on("exit", (code, signal) => { exit = code ?? signal; });
  const failed = () => new Error(`the stack did not start (${COMMAND}, exit ${exit}):\n${said.slice(-30).join("\n")}`);
  const end = Date.now() + START_MS;
  while (!(found.console && found.token)) {
    if (exit !== null || Date.now() > end) { child.kill("SIGKILL"); throw failed(); }
    await sleep(50);
  }
  return {
    url: found.console,
    token: found.token,
    said,
    say: (line) => child.stdin.write(`${line}\n`),
    stop: async () => {
      if (exit !== null) return;
      child.kill("SIGINT");
      await until("the stack stops", () => exit !== null, 5000).catch(() => child.kill("SIGKILL"));
    },
  };
}

export const startBrowser = () => chromium.launch({ executablePath: CHROMIUM, args: FLAGS, headless: true });

// A page and what it hears: `tap.view` is the newest view, `tap.problems` every error of the page.
export async function openPage(context) {
  const page = await context.newPage();
  const tap = { view: null, views: [], pictures: 0, sent: [], problems: [] };
  page.on("console", (m) => { if (m.type() === "error") tap.problems.push(m.text()); });
  page.on("pageerror", (e) => tap.problems.push(String(e)));
  page.on("requestfailed", (r) => tap.problems.push(`${r.url()} ${r.failure()?.errorText}`));
  page.on("websocket", (socket) => {
    socket.on("framereceived", ({ payload }) => {
      if (typeof payload !== "string") { tap.pictures += payload[0] === 1 ? 1 : 0; return; }
      const message = JSON.parse(payload);
      if (message.t !== "view") return;
      tap.view = { ...message, at: Date.now() };
      tap.views.push(tap.view);
      if (tap.views.length > 4000) tap.views.shift();
    });
    socket.on("framesent", ({ payload }) => tap.sent.push({ at: Date.now(), ...JSON.parse(payload) }));
  });
  return { page, tap };
}
