"use strict";
const content = JSON.parse(document.getElementById("content").textContent), { nets, strip, colours } = content;
const languages = Object.keys(content.words), find = (id) => document.getElementById(id);
let language = languages[0], label = "", picture = null, request = 0;
const word = (name, values = {}) => content.words[language][name].replace(/\{(\w+)\}/g, (all, key) => (key in values ? values[key] : all));
const source = JSON.parse(find("worker").textContent);
const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
const waiting = new Map(), states = nets.map(() => ({ off: [], whole: null, last: null }));
nets.forEach((net) => worker.postMessage({ net }));
nets.forEach((net) => delete net.weights);

worker.onmessage = ({ data }) => {
  const { resolve, reject } = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.error) reject(new Error(data.error)); else resolve(data);
};
const ask = (which, shown, off) => new Promise((resolve, reject) => {
  waiting.set(++request, { resolve, reject });
  worker.postMessage({ id: request, which, picture: shown, off });
});

async function decoded(bytes) {
  const bitmap = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return { width: bitmap.width, height: bitmap.height, rgba: context.getImageData(0, 0, bitmap.width, bitmap.height).data };
}
const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

window.reslab = {
  // the probabilities of a picture's bytes (PNG, JPEG …), by the first network or number `which`, without blocks `off`
  classify: async (bytes, which = 0, off = []) => (await ask(which, await decoded(bytes), off)).probabilities,
};

// ---- what is shown

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes))
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function paint(canvas, pixels, size, channels, map) {
  const scale = Math.max(1, Math.ceil(224 / size)), side = size * scale, context = canvas.getContext("2d");
  canvas.width = canvas.height = side;
  const image = context.createImageData(side, side), edge = map ? Math.sqrt(map.length) : 0;
  const most = map ? map.reduce((a, v) => Math.max(a, Math.abs(v)), 1e-30) : 1;
  const hues = [colours.for, colours.against].map((hue) => [1, 3, 5].map((i) => parseInt(hue.slice(i, i + 2), 16)));
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const from = (Math.floor(y / scale) * size + Math.floor(x / scale)) * channels, to = 4 * (y * side + x);
      let rgb = channels === 3 ? [pixels[from], pixels[from + 1], pixels[from + 2]] : Array(3).fill(pixels[from]);
      if (map) {
        const grey = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2], share = between(map, edge, (x + 0.5) / side, (y + 0.5) / side) / most;
        const strength = 0.75 * Math.abs(share), hue = hues[share > 0 ? 0 : 1];
        rgb = hue.map((value) => grey * (1 - strength) + value * strength);
      }
      image.data.set([...rgb, 255], to);
    }
  context.putImageData(image, 0, 0);
}
function between(map, edge, x, y) { // bilinear
  const clamp = (v) => Math.max(0, Math.min(edge - 1, v)), u = clamp(x * edge - 0.5), v = clamp(y * edge - 0.5);
  const i = Math.floor(u), j = Math.floor(v), k = Math.min(edge - 1, i + 1), l = Math.min(edge - 1, j + 1);
  const [p, q] = [u - i, v - j];
  return (1 - q) * ((1 - p) * map[j * edge + i] + p * map[j * edge + k]) + q * ((1 - p) * map[l * edge + i] + p * map[l * edge + k]);
}

const percent = (share) => (100 * share).toFixed(1);
function highest(probabilities, count) {
  return probabilities.map((share, k) => [share, k]).sort((a, b) => b[0] - a[0]).slice(0, count);
}

const parts = nets.map((net, which) => {
  const section = make("section", { class: "net", "aria-labelledby": `net-${which}` });
  const part = {
    section, answer: make("p", { class: "answer", "aria-live": "polite" }), bars: make("ol", { class: "bars" }),
    seen: make("canvas", { role: "img" }), seenWords: make("figcaption"), map: make("canvas", { role: "img" }), mapWords: make("figcaption"),
    blocksTitle: make("h3"), switches: make("div", { class: "switches", role: "group" }), about: make("p", { class: "soft" }),
    change: make("p", { class: "change", "aria-live": "polite" }), halves: make("p", { class: "soft" }),
    allOn: make("button", { type: "button", class: "all", onclick: () => { states[which].off = []; compute(which); } }),
  };
  part.mapFigure = make("figure", {}, part.map, part.mapWords);
  part.buttons = net.blocks.map(({ name }) => {
    const button = make("button", { type: "button", "aria-pressed": "true", onclick: () => {
      const { off } = states[which];
      states[which].off = off.includes(name) ? off.filter((one) => one !== name) : [...off, name];
      compute(which);
    } }, name);
    part.switches.append(button);
    return button;
  });
  part.blocks = make("div", { class: "blocks" }, part.blocksTitle, part.change, part.switches, part.allOn, part.about);
  part.blocks.hidden = !net.blockCount;
  section.append(make("h2", { id: `net-${which}` }, net.name), part.answer, part.bars,
    make("div", { class: "views" }, make("figure", {}, part.seen, part.seenWords), part.mapFigure), part.blocks, part.halves);
  find("nets").append(section);
  return part;
});

function show(which) {
  const net = nets[which], state = states[which], part = parts[which], { last, whole, off } = state;
  const chosen = (result) => net.classes[highest(result.probabilities, 1)[0][1]];
  part.blocksTitle.textContent = word("blocks");
  part.allOn.textContent = word("all_on");
  part.allOn.disabled = !off.length;
  part.about.textContent = net.residual ? word("residual_off") : word("plain_off", { n: net.blocks.length, all: net.blockCount });
  part.halves.textContent = word("halves", { changed: net.changed, compared: net.compared.toLocaleString("en") }) + (last ? ` (${word("time", { ms: last.milliseconds.toFixed(0) })})` : "");
  part.buttons.forEach((button, i) => {
    button.setAttribute("aria-pressed", String(!off.includes(net.blocks[i].name)));
    button.setAttribute("aria-label", word("block", { name: net.blocks[i].name }));
  });
  if (!last) return;
  const rows = highest(last.probabilities, Math.min(5, net.classes.length));
  part.answer.textContent = word("answer", { label: chosen(last), share: percent(rows[0][0]) });
  part.bars.replaceChildren(...rows.map(([share, k]) => make("li", {}, make("span", { class: "name" }, net.classes[k]), make("span", { class: "bar", style: `--share: ${share}` }), make("span", { class: "share" }, `${percent(share)} %`))));
  const blocks = off.length > 3 ? `${off.slice(0, 3).join(", ")} …` : off.join(", ");
  part.change.textContent = !off.length || !whole ? "" : chosen(last) === chosen(whole) ? word("still", { blocks, label: chosen(last) }) : word("instead", { blocks, label: chosen(last), before: chosen(whole) });
  part.change.classList.toggle("changed", Boolean(off.length && whole && chosen(last) !== chosen(whole)));
  paint(part.seen, last.pixels, net.size, net.channels, null);
  part.seenWords.textContent = word("seen", { size: net.size });
  part.seen.setAttribute("aria-label", part.seenWords.textContent);
  part.mapFigure.hidden = !last.map;
  if (last.map) {
    paint(part.map, last.pixels, net.size, net.channels, last.map);
    part.mapWords.textContent = word("map", { label: chosen(last) });
    part.map.setAttribute("aria-label", part.mapWords.textContent);
  }
}

async function compute(which) {
  const state = states[which], turn = (state.turn = (state.turn || 0) + 1), off = [...state.off];
  show(which);
  if (!picture) return;
  const result = await ask(which, picture, off);
  if (!off.length) state.whole = result;
  if (turn === state.turn) { state.last = result; show(which); }
}
async function look(shown, its) {
  [picture, label] = [shown, its];
  find("truth").textContent = label ? word("truth", { label }) : "";
  find("message").textContent = "";
  await Promise.all(nets.map(async (net, which) => {
    const whole = ask(which, picture, []);
    if (states[which].off.length) await whole.then((result) => { states[which].whole = result; });
    await compute(which);
  }));
  document.body.dataset.ready = "yes";
}
async function open(file) {
  let shown;
  try { shown = await decoded(await file.arrayBuffer()); } catch { find("message").textContent = word("bad", { name: file.name }); return; }
  mark(null);
  await look(shown, "");
}
const mark = (chosen) => { for (const button of find("strip").children) button.setAttribute("aria-pressed", String(button === chosen)); };

strip.forEach((one, i) => {
  const image = make("img", { src: `data:image/png;base64,${one.png}`, alt: "" });
  const button = make("button", { type: "button", "aria-pressed": "false", "data-number": i + 1, onclick: async () => {
    mark(button);
    await look(await decoded(bytesOf(one.png)), one.label);
  } }, image);
  find("strip").append(button);
});
find("file").addEventListener("change", ({ target }) => { if (target.files.length) open(target.files[0]); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files.length) open(event.dataTransfer.files[0]); });

// ---- a pad to draw on, for small grey pictures: light on dark, as the digits are

const hasPad = nets[0].channels === 1 && nets[0].size <= 32, pad = find("pad"), ink = pad.getContext("2d", { willReadFrequently: true });
find("drawing").hidden = !hasPad;
let from = null, isBusy = false;
function wipe() { ink.fillStyle = "black"; ink.fillRect(0, 0, pad.width, pad.height); }
async function lookAtPad() {
  if (isBusy) return;
  isBusy = true;
  mark(null);
  await look({ width: pad.width, height: pad.height, rgba: ink.getImageData(0, 0, pad.width, pad.height).data }, "");
  isBusy = false;
}
function place({ clientX, clientY }) {
  const box = pad.getBoundingClientRect();
  return [((clientX - box.left) / box.width) * pad.width, ((clientY - box.top) / box.height) * pad.height];
}
function stroke(event) {
  const [x, y] = place(event);
  [ink.strokeStyle, ink.lineWidth, ink.lineCap] = ["white", pad.width / 6, "round"];
  ink.beginPath();
  ink.moveTo(...(from || [x, y]));
  ink.lineTo(x, y);
  ink.stroke();
  from = [x, y];
}
pad.addEventListener("pointerdown", (event) => { pad.setPointerCapture(event.pointerId); from = null; stroke(event); });
pad.addEventListener("pointermove", (event) => { if (from) { stroke(event); lookAtPad(); } });
for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => { from = null; lookAtPad(); });
find("clear").addEventListener("click", () => { wipe(); lookAtPad(); });
wipe();

// ---- language

function translate() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  find("lead").textContent = word(hasPad ? "lead_pad" : "lead");
  pad.setAttribute("aria-label", word("pad"));
  find("strip").setAttribute("aria-label", word("strip"));
  for (const button of find("strip").children) {
    const { label: its } = strip[button.dataset.number - 1];
    button.setAttribute("aria-label", [word("picture", { n: button.dataset.number }), its].filter(Boolean).join(", "));
  }
  find("truth").textContent = label ? word("truth", { label }) : "";
  nets.forEach((net, which) => show(which));
}
find("language").addEventListener("click", () => { language = languages[(languages.indexOf(language) + 1) % languages.length]; translate(); });
find("app").hidden = false;
translate();
if (find("strip").children.length) find("strip").children[0].click();
