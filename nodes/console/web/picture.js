// The picture and what is drawn over it. Nothing here decides anything.
const WIDTH = 640, HEIGHT = 480;
// Anatomy that is always outlined; the rest only in the mode "all".
const KEY = new Set(["gallbladder", "cystic duct", "cystic artery", "liver"]);
const FILLED = new Set(["gallbladder", "cystic duct", "cystic artery"]);
// Colours of what other models find; a name has the same colour in every picture.
const PALETTE = ["86,180,233", "230,159,0", "0,158,115", "240,228,66", "0,114,178", "213,94,0", "204,121,167"];
const colourOf = (label) => PALETTE[new TextEncoder().encode(label).reduce((sum, b) => sum + b, 0) % PALETTE.length];
const SKY = "86,180,233", AMBER = "240,169,27";
export { colourOf };
export const LABEL_MODES = ["key", "all", "off"];

export class Picture {
  // Three layers: the picture, the label image at its own size (the page scales it), and what is drawn at the screen's resolution.
  constructor(picture, labels, overlay) {
    this.context = picture.getContext("2d", { alpha: false });
    this.overlay = overlay;
    this.labels = { canvas: labels, names: [] };
    this.pixels = null;
    this.labelMode = "key";
    this.ghostOn = true;
    this.modelsOn = true;
    this.regions = new Map(); // model name -> {canvas, pixels, width, height, painted}
    this.shown = null; // {seq, at}
    this.decoding = false;
    this.waiting = null; // the newest JPEG behind the one being decoded
    this.next = null; // decoded, not yet shown
    this.repaint = false; // the label image is newer than its painting
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
  }

  // A binary message of the server; see src/picture.rs.
  take(buffer, classes) {
    const kind = new DataView(buffer).getUint8(0);
    if (kind === 1) this.takePicture(buffer);
    if (kind === 2) this.takeLabels(buffer, classes);
    if (kind === 3) this.takeRegions(buffer);
  }

  // One picture is decoded at a time, and only the newest waits. It appears with the next frame, see `show`.
  takePicture(buffer) {
    if (this.decoding) { this.waiting = buffer; return; }
    this.decoding = true;
    const seq = Number(new DataView(buffer).getBigUint64(1, true));
    createImageBitmap(new Blob([new Uint8Array(buffer, 17)], { type: "image/jpeg" }))
      .then((bitmap) => {
        this.next?.bitmap.close();
        this.next = { seq, bitmap };
      }, () => {})
      .finally(() => {
        this.decoding = false;
        const waiting = this.waiting;
        this.waiting = null;
        if (waiting) this.takePicture(waiting);
      });
  }

  // Shows the picture that was decoded last; says whether there was a new one.
  show() {
    if (!this.next) return false;
    const { seq, bitmap } = this.next;
    this.next = null;
    this.context.drawImage(bitmap, 0, 0, WIDTH, HEIGHT);
    bitmap.close();
    this.shown = { seq, at: performance.now() };
    return true;
  }

  // What models beside the segmentation outlined; see src/findings.rs.
  takeRegions(buffer) {
    const view = new DataView(buffer), found = new Map();
    for (let at = 17; at + 9 <= buffer.byteLength;) {
      const letters = view.getUint8(at), name = new TextDecoder().decode(new Uint8Array(buffer, at + 1, letters));
      at += 1 + letters;
      const width = view.getUint16(at, true), height = view.getUint16(at + 2, true), length = view.getUint32(at + 4, true);
      const pixels = fromRuns(new Uint8Array(buffer, at + 8, length), width * height);
      at += 8 + length;
      found.set(name, { pixels, width, height, canvas: this.regions.get(name)?.canvas ?? document.createElement("canvas"), painted: false });
    }
    this.regions = found;
  }

  takeLabels(buffer, classes) {
    const view = new DataView(buffer), width = view.getUint16(17, true), height = view.getUint16(19, true);
    const pixels = fromRuns(new Uint8Array(buffer, 21), width * height);
    this.pixels = { pixels, width, height, classes, at: performance.now() };
    this.repaint = true;
  }

  cycleLabels() {
    this.labelMode = LABEL_MODES[(LABEL_MODES.indexOf(this.labelMode) + 1) % LABEL_MODES.length];
    this.repaint = Boolean(this.pixels);
  }

  // Fill and edge of each class, once per label image.
  paintLabels() {
    this.repaint = false;
    const { pixels, width, height, classes } = this.pixels, all = this.labelMode === "all";
    const canvas = this.labels.canvas;
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const context = canvas.getContext("2d"), image = context.createImageData(width, height), out = image.data;
    const style = classes.map((c) => ({
      fill: all ? (c.tissue ? 60 : 0) : FILLED.has(c.name) ? 46 : 0,
      edge: all ? (c.name === "background" ? 0 : 220) : KEY.has(c.name) ? (FILLED.has(c.name) ? 235 : 130) : 0,
    }));
    const sums = classes.map(() => [0, 0, 0]);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const i = y * width + x, c = pixels[i];
        if (c >= classes.length) continue;
        const sum = sums[c]; sum[0] += x; sum[1] += y; sum[2]++;
        const inside = x > 0 && y > 0 && x < width - 1 && y < height - 1;
        const edge = inside && (pixels[i - 1] !== c || pixels[i + 1] !== c || pixels[i - width] !== c || pixels[i + width] !== c);
        const alpha = edge ? style[c].edge : style[c].fill;
        if (alpha === 0) continue;
        const [r, g, b] = classes[c].colour, o = 4 * i;
        out[o] = r; out[o + 1] = g; out[o + 2] = b; out[o + 3] = alpha;
      }
    }
    context.putImageData(image, 0, 0);
    this.labels.names = [];
    classes.forEach((c, k) => {
      const [sx, sy, n] = sums[k];
      if (n < 60 || !c.tissue || !(all || KEY.has(c.name))) return;
      const [x, y] = nearest(pixels, width, height, k, sx / n, sy / n);
      this.labels.names.push({ name: c.name, colour: `rgb(${c.colour})`, x: (x + .5) * WIDTH / width, y: (y + .5) * HEIGHT / height });
    });
  }

  // Redraws the overlay for a view. Bodies are stroked and then hollowed out, which leaves the outline of their union and lets
  // what is nearer the end of the motion cover what is before it.
  draw(view, now) {
    const canvas = this.overlay, scale = canvas.clientWidth * devicePixelRatio / WIDTH;
    const width = Math.round(WIDTH * scale), height = Math.round(HEIGHT * scale);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const g = canvas.getContext("2d");
    g.setTransform(scale, 0, 0, scale, 0, 0);
    g.clearRect(0, 0, WIDTH, HEIGHT);
    const seen = Boolean(view && !view.picture.stale), labelled = seen && this.labelMode !== "off" && now - (this.pixels?.at ?? 0) < 600;
    this.labels.canvas.hidden = !labelled;
    if (!seen) return;
    if (this.repaint) this.paintLabels();
    g.lineJoin = "round";
    const models = this.modelsOn ? view.models.filter((m) => !m.stale) : [];
    models.forEach((m) => this.drawRegions(g, m));
    models.forEach((m) => this.drawMarks(g, m));
    for (const outline of view.outlines) this.drawInstrument(g, outline, view);
    const ghost = this.ghostOn && view.card ? view.ghost : null;
    if (ghost) this.drawGhost(g, ghost, view.card, now);
    if (ghost) this.drawWay(g, ghost.way);
    if (ghost?.arm === "ECM") this.drawFrameName(g, ghost);
    if (labelled) this.drawNames(g);
  }

  // Regions of one model.
  drawRegions(g, model) {
    const region = this.regions.get(model.name);
    if (!region || model.task !== "segmentation") return;
    if (!region.painted) paintRegion(region, model.scores.map(([label]) => colourOf(label).split(",").map(Number)));
    g.drawImage(region.canvas, 0, 0, WIDTH, HEIGHT);
  }

  // Boxes and points of one model.
  drawMarks(g, model) {
    for (const { label, confidence, at: [x0, y0, x1, y1] } of model.boxes) {
      const colour = `rgb(${colourOf(label)})`, x = x0 * WIDTH, y = y0 * HEIGHT, w = (x1 - x0) * WIDTH, h = (y1 - y0) * HEIGHT;
      g.lineWidth = 4.5; g.strokeStyle = "#000b"; g.strokeRect(x, y, w, h);
      g.lineWidth = 2.2; g.strokeStyle = colour; g.strokeRect(x, y, w, h);
      tag(g, `${label} ${Math.round(confidence * 100)}%`, x + 6, Math.max(y - 9, 14), colour);
    }
    for (const { label, at: [u, v] } of model.points) {
      g.beginPath(); g.arc(u * WIDTH, v * HEIGHT, 4.5, 0, 2 * Math.PI);
      g.fillStyle = `rgb(${colourOf(label)})`; g.fill(); g.lineWidth = 1.6; g.strokeStyle = "#000"; g.stroke();
      if (model.points.length <= 12) tag(g, label, u * WIDTH + 14, v * HEIGHT, `rgb(${colourOf(label)})`);
    }
  }

  drawInstrument(g, outline, view) {
    const arm = view.arms.find((a) => a.arm === outline.arm), good = arm && (arm.words === "aligned" || arm.words === "on");
    g.setLineDash(good ? [] : [6, 5]);
    body(g, outline.lines, 1.5, good ? "rgba(255,255,255,.62)" : `rgba(${AMBER},.95)`, null);
    g.setLineDash([]);
  }

  drawGhost(g, ghost, card, now) {
    const moving = card.phase === "moving", beat = this.calm.matches || moving ? null : (now / 2600) % 1.25;
    const last = ghost.poses.length - 1, frame = ghost.arm === "ECM";
    ghost.poses.forEach((pose, k) => {
      const near = beat === null ? 0 : Math.max(0, 1 - Math.abs(pose.at - beat) * 5);
      const strength = (k === last ? 1 : .22 + .25 * pose.at + .45 * near) * (moving ? .6 : 1);
      const fill = frame ? null : `rgba(${SKY},${((k === last ? .26 : .06 + .2 * near) * (moving ? .6 : 1)).toFixed(3)})`;
      if (frame) {
        for (const line of pose.lines) { trace(g, line); g.lineWidth = k === last ? 3 : 1.2; g.strokeStyle = `rgba(${SKY},${strength})`; g.stroke(); }
      } else {
        body(g, pose.lines, k === last ? 2.6 : 1.2, `rgba(${SKY},${strength.toFixed(3)})`, fill);
      }
    });
  }

  drawFrameName(g, ghost) {
    const [u, v] = ghost.poses.at(-1)?.lines[0] ?? [0, 0];
    tag(g, "new view", Math.min(Math.max(u, 8), WIDTH - 110) + 8, Math.min(Math.max(v, 8), HEIGHT - 30) + 20, `rgb(${SKY})`);
  }

  drawWay(g, way) {
    if (way.length < 4) return;
    const [u1, v1] = way.slice(-2);
    let k = way.length - 4;
    while (k > 0 && Math.hypot(u1 - way[k], v1 - way[k + 1]) < 8) k -= 2;
    const angle = Math.atan2(v1 - way[k + 1], u1 - way[k]), length = Math.hypot(u1 - way[0], v1 - way[1]);
    if (length < 3) return;
    g.setLineDash([1, 6]); g.lineCap = "round"; g.lineWidth = 3.2; g.strokeStyle = "#fff";
    trace(g, way, false); g.stroke();
    g.setLineDash([]); g.lineCap = "butt";
    g.beginPath();
    g.moveTo(u1 + 5 * Math.cos(angle), v1 + 5 * Math.sin(angle));
    for (const turn of [2.5, -2.5]) g.lineTo(u1 + 10 * Math.cos(angle + turn), v1 + 10 * Math.sin(angle + turn));
    g.closePath(); g.fillStyle = "#fff"; g.strokeStyle = "#000a"; g.lineWidth = 1; g.stroke(); g.fill();
  }

  drawNames(g) {
    let below = -Infinity;
    for (const { name, colour, x, y } of this.labels.names.toSorted((a, b) => a.y - b.y)) {
      below = Math.max(y, below + 21);
      tag(g, name, x, below, colour, true);
    }
  }
}

function fromRuns(runs, size) {
  const pixels = new Uint8Array(size);
  for (let i = 0, at = 0; i + 1 < runs.length; i += 2) {
    pixels.fill(runs[i], at, at + runs[i + 1] + 1);
    at += runs[i + 1] + 1;
  }
  return pixels;
}

// Tints every class but the first, which is background, and draws its edge.
function paintRegion(region, colours) {
  const { pixels, width, height, canvas } = region;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext("2d"), image = context.createImageData(width, height), out = image.data;
  for (let i = 0; i < pixels.length; i++) {
    const c = pixels[i];
    if (c === 0 || c >= colours.length) continue;
    const edge = pixels[i - 1] !== c || pixels[i + 1] !== c || pixels[i - width] !== c || pixels[i + width] !== c;
    [out[4 * i], out[4 * i + 1], out[4 * i + 2]] = colours[c];
    out[4 * i + 3] = edge ? 240 : 70;
  }
  context.putImageData(image, 0, 0);
  region.painted = true;
}

// The outline of the union of closed polylines, hollow or filled.
function body(g, lines, width, stroke, fill) {
  const path = new Path2D();
  for (const line of lines) {
    for (let i = 0; i + 1 < line.length; i += 2) i === 0 ? path.moveTo(line[0], line[1]) : path.lineTo(line[i], line[i + 1]);
    path.closePath();
  }
  g.lineWidth = 2 * width; g.strokeStyle = stroke; g.stroke(path);
  g.globalCompositeOperation = "destination-out"; g.fillStyle = "#000"; g.fill(path);
  g.globalCompositeOperation = "source-over";
  if (fill) { g.fillStyle = fill; g.fill(path); }
}

function tag(g, text, x, y, colour, centred = false) {
  g.font = "600 13px system-ui, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', sans-serif";
  const width = g.measureText(text).width, left = Math.min(Math.max(centred ? x - width / 2 : x, 8), WIDTH - width - 8);
  g.fillStyle = "rgba(0,0,0,.62)";
  g.beginPath(); g.roundRect(left - 6, y - 12, width + 12, 18, 5); g.fill();
  g.fillStyle = colour; g.fillRect(left - 6, y - 12, 3, 18);
  g.fillStyle = "#fff"; g.fillText(text, left + 1, y + 2);
}

function trace(g, line, close = true) {
  g.beginPath();
  for (let i = 0; i + 1 < line.length; i += 2) i === 0 ? g.moveTo(line[0], line[1]) : g.lineTo(line[i], line[i + 1]);
  if (close) g.closePath();
}

// The pixel of class `k` nearest to a point, on a coarse grid: names lie on what they name.
function nearest(pixels, width, height, k, x, y) {
  let best = [x, y], least = Infinity;
  for (let v = 2; v < height; v += 3) for (let u = 2; u < width; u += 3) {
    if (pixels[v * width + u] !== k) continue;
    const d = (u - x) ** 2 + (v - y) ** 2;
    if (d < least) { least = d; best = [u, v]; }
  }
  return best;
}
