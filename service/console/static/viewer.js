// The picture of a case: one CT in three planes with the contours of its structure set.
//
// <section id="viewer" data-job="..."> holds it. CT numbers stay in memory as they come (16 bits); a plane is drawn
// by looking each one up in a table of colours, which takes a millisecond or two. Contours lie between pixels, so they
// are drawn as lines over the scaled picture, not into it. Nothing is drawn more than once a frame.

"use strict";

import { Plane, Roi, Volume, letters } from "./ct_planes.js";

const PRESETS = {
  soft: { width: 400, level: 40 },
  bone: { width: 1500, level: 300 },
  lung: { width: 1500, level: -600 },
};
const AT_ONCE = 16; // slices a request: a picture of 512 x 512 has 8 MiB then
const LOWEST_HU = -1024;
const HIGHEST_HU = 4095;

const ENGLISH = {
  axial: "Axial",
  coronal: "Coronal",
  sagittal: "Sagittal",
  soft: "Soft tissue",
  bone: "Bone",
  lung: "Lung",
  window: "Window",
  structures: "Structures",
  all: "All",
  none: "None",
  slices: "slices",
  slice: "Slice",
  loading: "Loading the CT",
  failed: "The CT cannot be shown.",
  nothing: "No structure set yet.",
  notice: "Not for clinical review: approve in the TPS.",
  keys: "Wheel or arrow keys scroll, Page keys by ten, 1 2 3 choose the window, drag with Shift to change it.",
};

class View {
  constructor(viewer, name) {
    this.viewer = viewer;
    this.plane = new Plane(viewer.volume, name);
    this.index = this.plane.count >> 1;
    this.image = document.createElement("canvas");
    this.image.width = this.plane.width;
    this.image.height = this.plane.height;
    this.pixels = this.image.getContext("2d", { alpha: false });
    this.data = this.pixels.createImageData(this.plane.width, this.plane.height);
    this.colors = new Uint32Array(this.data.data.buffer);
    this.figure = element("figure", `viewer-${name}`);
    this.canvas = element("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.caption = element("figcaption");
    this.lines = element("canvas", "viewer-lines"); // above the picture: where the other planes are
    this.lines.setAttribute("aria-hidden", "true");
    this.figure.append(this.canvas, this.lines, this.caption);
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.above = this.lines.getContext("2d");
    this.stale = true; // other pixels
    this.dirty = true; // the same pixels, but something else on them or around them
    this.#listen();
  }

  #listen() {
    const { canvas, viewer } = this;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.scroll(Math.sign(event.deltaY));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const last = this.plane.count - 1;
      const steps = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -last, End: last };
      if (event.key in steps) this.scroll(steps[event.key]);
      else if (event.key in { 1: 0, 2: 0, 3: 0 }) viewer.preset(Object.keys(PRESETS)[event.key - 1]);
      else return;
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.shiftKey && event.buttons) viewer.changeWindow(event.movementX * 2, event.movementY * 2);
      else viewer.point(this, ...this.#pixelAt(event));
    });
    canvas.addEventListener("pointerleave", () => viewer.point(null));
    canvas.addEventListener("click", (event) => {
      if (!event.shiftKey) viewer.goTo(this, ...this.#pixelAt(event));
    });
  }

  #pixelAt(event) {
    const { left, top, scale } = this.layout;
    const ratio = window.devicePixelRatio || 1;
    const box = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) * ratio - left) / (scale * this.plane.acrossMm) - 0.5;
    const y = ((event.clientY - box.top) * ratio - top) / (scale * this.plane.downMm) - 0.5;
    return [Math.round(x), Math.round(y)];
  }

  scroll(steps) {
    const to = Math.min(this.plane.count - 1, Math.max(0, this.index + steps));
    if (to === this.index) return;
    this.index = to;
    this.stale = true;
    this.viewer.redraw();
  }

  // Fit the picture, whose pixels may be oblong, into the canvas.
  resize() {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    for (const canvas of [this.canvas, this.lines]) {
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    }
    this.dirty = true;
    const { plane } = this;
    const wide = plane.width * plane.acrossMm;
    const high = plane.height * plane.downMm;
    const scale = Math.min(width / wide, height / high);
    this.layout = { left: (width - wide * scale) / 2, top: (height - high * scale) / 2, scale, ratio };
  }

  draw() {
    if (!this.layout) this.resize();
    const { left, top, scale } = this.layout;
    const [x, y] = [scale * this.plane.acrossMm, scale * this.plane.downMm];
    // Whole numbers are pixel centres, which lie half a pixel inside the picture's edge.
    const place = { x, y, left: left + 0.5 * x, top: top + 0.5 * y };
    if (this.stale) {
      this.plane.paint(this.index, this.viewer.table, this.colors);
      this.pixels.putImageData(this.data, 0, 0);
    }
    if (this.stale || this.dirty) this.#drawPicture(place);
    this.stale = this.dirty = false;
    this.#cross(place);
  }

  #drawPicture(place) {
    const { context, plane } = this;
    const { left, top, ratio } = this.layout;
    const { x, y } = place;
    context.fillStyle = "#000";
    context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    context.imageSmoothingEnabled = true;
    context.drawImage(this.image, left, top, plane.width * x, plane.height * y);
    context.lineWidth = 1.5 * ratio;
    for (const roi of this.viewer.rois) if (roi.shown) this.#drawRoi(roi, place);
    this.#letters(ratio);
    this.caption.textContent = this.viewer.captionOf(this);
  }

  #drawRoi(roi, { x, y, left, top }) {
    const { context, plane, index } = this;
    context.strokeStyle = roi.color;
    if (plane.name === "axial") {
      const polygons = roi.polygons.get(index);
      if (!polygons) return;
      context.beginPath();
      for (const points of polygons) {
        context.moveTo(left + points[0] * x, top + points[1] * y);
        for (let i = 2; i < points.length; i += 2) context.lineTo(left + points[i] * x, top + points[i + 1] * y);
        context.closePath();
      }
      context.stroke();
      return;
    }
    const axis = plane.name === "coronal" ? 1 : 0;
    context.fillStyle = roi.faint;
    context.beginPath();
    for (const k of roi.polygons.keys()) {
      const ends = roi.spans(k, axis, index);
      if (!ends.length) continue;
      const [from, to] = this.#band(k);
      for (let i = 0; i + 1 < ends.length; i += 2) {
        const [a, b] = [left + ends[i] * x, left + ends[i + 1] * x];
        context.fillRect(a, top + from * y, b - a, (to - from) * y);
        context.moveTo(a, top + from * y);
        context.lineTo(a, top + to * y);
        context.moveTo(b, top + from * y);
        context.lineTo(b, top + to * y);
      }
    }
    context.stroke();
  }

  // From where to where in the picture a slice reaches: half way to its neighbours.
  #band(k) {
    const { volume } = this.viewer;
    const y = this.plane.yOfSlice(k);
    const before = k > 0 ? this.plane.yOfSlice(k - 1) : 2 * y - this.plane.yOfSlice(Math.min(1, volume.slices - 1));
    const after = k + 1 < volume.slices ? this.plane.yOfSlice(k + 1) : 2 * y - before;
    const [from, to] = [(y + before) / 2, (y + after) / 2];
    return from < to ? [from, to] : [to, from];
  }

  // Where the other two planes cut this one.
  #cross({ x, y, left, top }) {
    const { above: context, plane, viewer } = this;
    const at = viewer.planesAt();
    const across = plane.name === "sagittal" ? at.row : at.column;
    const down = plane.name === "axial" ? at.row : plane.yOfSlice(at.slice);
    context.clearRect(0, 0, this.lines.width, this.lines.height);
    context.lineWidth = 1;
    context.strokeStyle = "rgba(120,200,255,0.45)";
    context.beginPath();
    context.moveTo(left + across * x, top - 0.5 * y);
    context.lineTo(left + across * x, top + (plane.height - 0.5) * y);
    context.moveTo(left - 0.5 * x, top + down * y);
    context.lineTo(left + (plane.width - 0.5) * x, top + down * y);
    context.stroke();
  }

  #letters(ratio) {
    const { context, plane, canvas } = this;
    const opposite = (direction) => direction.map((value) => -value);
    context.font = `600 ${14 * ratio}px system-ui, sans-serif`;
    context.fillStyle = "#ffd75e";
    context.textAlign = "center";
    context.textBaseline = "middle";
    const edge = 12 * ratio;
    context.fillText(letters(opposite(plane.across)), edge, canvas.height / 2);
    context.fillText(letters(plane.across), canvas.width - edge, canvas.height / 2);
    context.fillText(letters(opposite(plane.down)), canvas.width / 2, edge);
    context.fillText(letters(plane.down), canvas.width / 2, canvas.height - edge);
  }
}

class Viewer {
  constructor(section, ct, texts) {
    this.section = section;
    this.texts = texts;
    this.volume = new Volume(ct);
    this.patient = ct.patient_id;
    this.rois = [];
    this.table = new Uint32Array(65536);
    this.window = { ...PRESETS.soft };
    this.views = ["axial", "coronal", "sagittal"].map((name) => new View(this, name));
    this.frames = []; // how long each frame's drawing took, ms: for tests and for whoever wonders
    this.#build();
    this.preset("soft");
  }

  #build() {
    const { texts } = this;
    const bar = element("div", "viewer-bar");
    const windows = element("div", "viewer-windows");
    windows.setAttribute("role", "group");
    windows.setAttribute("aria-label", texts.window);
    this.buttons = {};
    for (const name of Object.keys(PRESETS)) {
      this.buttons[name] = button(texts[name], () => this.preset(name));
      windows.append(this.buttons[name]);
    }
    this.windowText = element("span", "viewer-window");
    this.pointer = element("output", "viewer-pointer");
    bar.append(windows, this.windowText, this.pointer);
    const planes = element("div", "viewer-planes");
    planes.append(...this.views.map((view) => view.figure));
    this.list = element("fieldset", "viewer-structures");
    const notice = element("p", "viewer-notice");
    notice.textContent = `${texts.notice} ${this.patient}`;
    const keys = element("p", "viewer-keys");
    keys.textContent = texts.keys;
    this.progress = element("progress");
    this.progress.max = this.volume.slices;
    this.progress.setAttribute("aria-label", texts.loading);
    this.section.replaceChildren(notice, bar, planes, this.list, this.progress, keys);
    for (const view of this.views) view.canvas.setAttribute("aria-label", texts[view.plane.name]);
    new ResizeObserver(() => {
      for (const view of this.views) view.resize();
      this.redraw();
    }).observe(planes);
  }

  show(drawing) {
    this.rois = drawing.rois.map((drawn) => new Roi(drawn));
    const { texts } = this;
    const legend = element("legend");
    legend.textContent = texts.structures;
    const every = element("div", "viewer-every");
    every.append(button(texts.all, () => this.toggle(true)), button(texts.none, () => this.toggle(false)));
    const lines = this.rois.map((roi) => this.#line(roi));
    this.list.replaceChildren(legend, every, ...lines);
    if (!lines.length) this.list.append(texts.nothing);
    const firsts = this.rois.filter((roi) => roi.first !== null);
    if (firsts.length) {
      const low = Math.min(...firsts.map((roi) => roi.first));
      const high = Math.max(...firsts.map((roi) => roi.last));
      this.views[0].index = (low + high) >> 1;
      this.views[0].stale = true;
    }
    this.redrawAll();
  }

  #line(roi) {
    const label = element("label");
    const box = element("input");
    Object.assign(box, { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      roi.shown = box.checked;
      this.redrawAll();
    });
    roi.box = box;
    const swatch = element("canvas", "viewer-swatch");
    Object.assign(swatch, { width: 12, height: 12 });
    swatch.setAttribute("aria-hidden", "true");
    const context = swatch.getContext("2d");
    context.fillStyle = roi.color;
    context.fillRect(0, 0, 12, 12);
    const facts = element("small");
    const volume = roi.volume === null ? "" : `${roi.volume.toFixed(1)} cm³`;
    const range = roi.first === null ? "" : `${this.texts.slices} ${roi.first + 1}–${roi.last + 1}`;
    facts.textContent = [volume, range].filter(Boolean).join(", ");
    label.append(box, swatch, roi.name, facts);
    return label;
  }

  toggle(shown) {
    for (const roi of this.rois) roi.shown = roi.box.checked = shown;
    this.redrawAll();
  }

  preset(name) {
    this.setWindow({ ...PRESETS[name] });
    for (const [each, made] of Object.entries(this.buttons)) made.setAttribute("aria-pressed", String(each === name));
  }

  changeWindow(wider, higher) {
    const { width, level } = this.window;
    this.setWindow({ width: Math.max(1, width + wider), level: level + higher });
    for (const made of Object.values(this.buttons)) made.setAttribute("aria-pressed", "false");
  }

  setWindow(window) {
    this.window = window;
    const low = window.level - window.width / 2;
    for (let hu = LOWEST_HU; hu <= HIGHEST_HU; hu++) {
      const grey = Math.max(0, Math.min(255, Math.round(((hu - low) / window.width) * 255)));
      this.table[hu & 0xffff] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
    // What is beyond looks as the nearest end does.
    this.table.fill(this.table[HIGHEST_HU], HIGHEST_HU + 1, 0x8000);
    this.table.fill(this.table[LOWEST_HU & 0xffff], 0x8000, LOWEST_HU & 0xffff);
    this.windowText.textContent = `${this.texts.window} ${window.width} / ${window.level} HU`;
    for (const view of this.views) view.stale = true;
    this.redraw();
  }

  planesAt() {
    const [axial, coronal, sagittal] = this.views.map((view) => view.index);
    return { slice: axial, row: coronal, column: sagittal };
  }

  goTo(view, x, y) {
    const [slice, row, column] = this.#voxel(view, x, y) || [];
    if (slice === undefined) return;
    [slice, row, column].forEach((index, i) => {
      if (this.views[i] === view || this.views[i].index === index) return;
      this.views[i].index = index;
      this.views[i].stale = true;
    });
    this.redraw();
  }

  point(view, x, y) {
    const voxel = view && this.#voxel(view, x, y);
    if (!voxel) {
      this.pointer.textContent = "";
      return;
    }
    const [slice, row, column] = voxel;
    const [left, back, up] = this.volume.position(slice, row, column).map((value) => value.toFixed(1));
    const hu = this.volume.here[slice] ? `${this.volume.at(slice, row, column)} HU` : "";
    this.pointer.textContent = `L ${left}  P ${back}  S ${up} mm   ${hu}`;
  }

  #voxel(view, x, y) {
    const { plane } = view;
    if (x < 0 || y < 0 || x >= plane.width || y >= plane.height) return null;
    return plane.voxel(view.index, x, y);
  }

  captionOf(view) {
    const { texts, volume } = this;
    const name = texts[view.plane.name];
    if (view.plane.name !== "axial") return name;
    const height = volume.position(view.index, 0, 0)[2].toFixed(1);
    return `${name}  ${texts.slice} ${view.index + 1} / ${volume.slices}  z ${height} mm`;
  }

  redrawAll() {
    for (const view of this.views) view.dirty = true;
    this.redraw();
  }

  redraw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      const start = performance.now();
      for (const view of this.views) view.draw();
      this.frames.push(performance.now() - start);
      if (this.frames.length > 1000) this.frames.shift();
    });
  }

  loaded() {
    const here = this.volume.here.reduce((sum, one) => sum + one, 0);
    this.progress.value = here;
    this.progress.hidden = here === this.volume.slices;
    this.section.dataset.loaded = String(here);
    for (const view of this.views) view.stale = true;
    this.redraw();
  }
}

async function open(section) {
  const texts = { ...ENGLISH };
  for (const key of Object.keys(ENGLISH)) {
    const own = section.dataset[`text${key[0].toUpperCase()}${key.slice(1)}`];
    if (own) texts[key] = own;
  }
  const base = `/api/v1/jobs/${encodeURIComponent(section.dataset.job)}`;
  try {
    const [ct, drawing] = await Promise.all([asked(`${base}/ct`), asked(`${base}/contours`)]);
    const viewer = new Viewer(section, await ct.json(), texts);
    section.viewer = viewer;
    viewer.volume.hu.fill(LOWEST_HU);
    viewer.show(await drawing.json());
    followChanges(viewer, base);
    await load(viewer, base);
  } catch (error) {
    const sentence = element("p", "viewer-failed");
    sentence.setAttribute("role", "alert");
    sentence.textContent = error.sentence || texts.failed;
    section.replaceChildren(sentence);
  }
}

// The page around us is kept up to date: when it changes and we have no contours, there may be some now.
function followChanges(viewer, base) {
  const page = viewer.section.closest(".case");
  if (!page) return;
  let waiting = null;
  const changes = new MutationObserver((records) => {
    if (viewer.rois.length || waiting || records.every(({ target }) => viewer.section.contains(target))) return;
    waiting = setTimeout(async () => {
      waiting = null;
      const drawing = await asked(`${base}/contours`).then((answer) => answer.json()).catch(() => null);
      if (drawing?.rois.length) viewer.show(drawing);
    }, 300);
  });
  changes.observe(page, { childList: true, subtree: true });
}

// The slice that is looked at first, then the rest, from there outwards.
async function load(viewer, base) {
  const { volume } = viewer;
  const middle = viewer.views[0].index;
  await part(viewer, base, middle, 1);
  viewer.section.dataset.firstPicture = String(Math.round(performance.now())); // ms from the page's start
  const starts = [];
  for (let first = 0; first < volume.slices; first += AT_ONCE) starts.push(first);
  starts.sort((a, b) => Math.abs(a + AT_ONCE / 2 - middle) - Math.abs(b + AT_ONCE / 2 - middle));
  for (const first of starts) await part(viewer, base, first, Math.min(AT_ONCE, volume.slices - first));
}

async function part(viewer, base, first, count) {
  const answer = await asked(`${base}/ct/slices?first=${first}&count=${count}`);
  viewer.volume.take(first, int16(await answer.arrayBuffer()));
  viewer.loaded();
}

// Little-endian, whatever this machine is.
function int16(buffer) {
  if (new Uint8Array(new Uint16Array([1]).buffer)[0] === 1) return new Int16Array(buffer);
  const bytes = new DataView(buffer);
  return Int16Array.from({ length: buffer.byteLength / 2 }, (_, i) => bytes.getInt16(2 * i, true));
}

async function asked(address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  if (answer.ok) return answer;
  const refusal = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(refusal.code || String(answer.status)), { sentence: refusal.said || refusal.sentence });
}

function element(name, className) {
  const made = document.createElement(name);
  if (className) made.className = className;
  return made;
}

function button(text, action) {
  const made = element("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", action);
  return made;
}

const section = document.getElementById("viewer");
if (section) open(section);
