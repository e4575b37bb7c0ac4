"use strict";
// The networks of this page, step by step on typed arrays, in a worker: the page never waits for them.
// A step reads the outputs of earlier ones; its kinds are those of reslab's plan. Maps are [channels, height, width].

const nets = [];

function floats(text) { // base64 of little-endian numbers in half precision
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), view = new DataView(bytes.buffer);
  const powers = Array.from({ length: 32 }, (_, exponent) => 2 ** ((exponent || 1) - 15));
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => {
    const half = view.getUint16(2 * i, true), exponent = (half >> 10) & 31;
    return (half & 0x8000 ? -1 : 1) * powers[exponent] * ((exponent ? 1 : 0) + (half & 1023) / 1024);
  });
}

function load(net) {
  const values = floats(net.weights);
  let place = 0;
  const take = (count) => values.subarray(place, (place += count));
  for (const step of net.steps) {
    if (!step.weight) continue;
    step.w = take(step.weight.reduce((a, b) => a * b));
    step.b = take(step.weight[0]);
    if (step.kind === "conv") step.packed = packed(step.w, step.weight[0]);
  }
  net.byName = new Map(net.steps.map((step) => [step.name, step]));
  delete net.weights;
  nets.push(net);
}

// Weights of four output channels beside each other, as the inner loop reads them.
function packed(w, outputs) {
  const length = w.length / outputs, groups = Math.ceil(outputs / 4), found = new Float64Array(groups * length * 4);
  for (let o = 0; o < outputs; o++)
    for (let k = 0; k < length; k++) found[((o >> 2) * length + k) * 4 + (o & 3)] = w[o * length + k];
  return found;
}

function padded(x, channels, size, by, around) {
  if (!by) return x;
  const side = size + 2 * by, found = new Float32Array(channels * side * side);
  for (let c = 0; c < channels; c++)
    for (let y = 0; y < side; y++) {
      const row = y - by, from = around ? (row + size) % size : row;
      if (from < 0 || from >= size) continue;
      const source = (c * size + from) * size, target = (c * side + y) * side;
      for (let i = 0; i < size; i++) found[target + by + i] = x[source + i];
      if (around)
        for (let i = 0; i < by; i++) {
          found[target + i] = x[source + size - by + i];
          found[target + by + size + i] = x[source + i];
        }
    }
  return found;
}

// Four pixels and four channels at a time: sixteen sums, for which eight numbers are read.
function conv(net, step, x) {
  const [cOut, cIn, k] = step.weight, { stride, padding, sizeIn, sizeOut: n, packed: w, b } = step;
  const side = sizeIn + 2 * padding, input = padded(x, cIn, sizeIn, padding, net.padding === "circular");
  const length = cIn * k * k, pixels = n * n, found = new Float32Array(cOut * pixels);
  const patch = new Float64Array(length * 4), offsets = new Int32Array(length);
  for (let c = 0, i = 0; c < cIn; c++)
    for (let y = 0; y < k; y++) for (let j = 0; j < k; j++) offsets[i++] = (c * side + y) * side + j;
  for (let p = 0; p < pixels; p += 4) {
    const count = Math.min(4, pixels - p);
    for (let j = 0; j < 4; j++) {
      const q = Math.min(p + j, pixels - 1), y = (q / n) | 0;
      const start = (y * side + (q - y * n)) * stride;
      for (let i = 0; i < length; i++) patch[4 * i + j] = input[start + offsets[i]];
    }
    for (let o = 0, place = 0; o < cOut; o += 4) {
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      let c0 = 0, c1 = 0, c2 = 0, c3 = 0, d0 = 0, d1 = 0, d2 = 0, d3 = 0;
      for (let i = 0; i < 4 * length; i += 4, place += 4) {
        const x0 = patch[i], x1 = patch[i + 1], x2 = patch[i + 2], x3 = patch[i + 3];
        const w0 = w[place], w1 = w[place + 1], w2 = w[place + 2], w3 = w[place + 3];
        a0 += w0 * x0; a1 += w0 * x1; a2 += w0 * x2; a3 += w0 * x3;
        b0 += w1 * x0; b1 += w1 * x1; b2 += w1 * x2; b3 += w1 * x3;
        c0 += w2 * x0; c1 += w2 * x1; c2 += w2 * x2; c3 += w2 * x3;
        d0 += w3 * x0; d1 += w3 * x1; d2 += w3 * x2; d3 += w3 * x3;
      }
      const sums = [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3];
      for (let r = 0; r < 4 && o + r < cOut; r++)
        for (let j = 0; j < count; j++) found[(o + r) * pixels + p + j] = sums[4 * r + j] + b[o + r];
    }
  }
  return found;
}

function linear(step, x) {
  const [outputs, inputs] = step.weight;
  return Float32Array.from({ length: outputs }, (_, o) => {
    let sum = step.b[o];
    for (let i = 0; i < inputs; i++) sum += step.w[o * inputs + i] * x[i];
    return sum;
  });
}

function maxpool(step, x) {
  const { cIn, kernel, stride, padding, sizeIn, sizeOut } = step, found = new Float32Array(cIn * sizeOut * sizeOut);
  for (let c = 0, i = 0; c < cIn; c++)
    for (let y = 0; y < sizeOut; y++)
      for (let j = 0; j < sizeOut; j++, i++) {
        let most = -Infinity;
        for (let row = Math.max(0, y * stride - padding); row < Math.min(sizeIn, y * stride - padding + kernel); row++)
          for (let at = Math.max(0, j * stride - padding); at < Math.min(sizeIn, j * stride - padding + kernel); at++)
            most = Math.max(most, x[(c * sizeIn + row) * sizeIn + at]);
        found[i] = most;
      }
  return found;
}

// Option A: every stride-th pixel, and channels of zeros.
function pad(net, step, x) {
  const { cIn, cOut, stride, sizeIn, sizeOut } = step, map = sizeOut * sizeOut, found = new Float32Array(cOut * map);
  const before = net.padAt === "both" ? (cOut - cIn) >> 1 : 0;
  for (let c = 0; c < cIn; c++)
    for (let y = 0; y < sizeOut; y++)
      for (let j = 0; j < sizeOut; j++)
        found[(before + c) * map + y * sizeOut + j] = x[(c * sizeIn + y * stride) * sizeIn + j * stride];
  return found;
}

const ACTIVATIONS = { relu: (v) => (v < 0 ? 0 : v), tanh: Math.tanh, sigmoid: (v) => 1 / (1 + Math.exp(-v)) };

function computed(net, step, inputs) {
  const [x, other] = inputs;
  switch (step.kind) {
    case "conv": return conv(net, step, x);
    case "linear": return linear(step, x);
    case "act": return x.map(ACTIVATIONS[net.activation]);
    case "add": return x.map((v, i) => v + other[i]);
    case "bn": { const map = x.length / step.weight[0]; return x.map((v, i) => v * step.w[(i / map) | 0] + step.b[(i / map) | 0]); }
    case "maxpool": return maxpool(step, x);
    case "pad": return pad(net, step, x);
    case "flatten": return x;
    case "gap": {
      const map = step.sizeIn * step.sizeIn;
      return Float32Array.from({ length: step.cIn }, (_, c) => {
        let sum = 0;
        for (let i = 0; i < map; i++) sum += x[c * map + i];
        return sum / map;
      });
    }
  }
  throw new Error(`unknown kind ${step.kind}`);
}

// Without its branch an addition is its shortcut; a plain block whose shape stays is passed over.
function forward(net, images, off) {
  const values = new Map([["images", images]]), instead = new Map();
  for (const block of net.blocks) if (off.includes(block.name)) instead.set(block.output, block.instead);
  const needed = new Set(), stack = [net.steps.at(-1).name];
  const reads = (name) => (instead.has(name) ? [instead.get(name)] : net.byName.get(name).inputs);
  while (stack.length) {
    const name = stack.pop();
    if (name === "images" || needed.has(name)) continue;
    needed.add(name);
    stack.push(...reads(name));
  }
  for (const step of net.steps) {
    if (!needed.has(step.name)) continue;
    const inputs = reads(step.name).map((name) => values.get(name));
    values.set(step.name, instead.has(step.name) ? inputs[0] : computed(net, step, inputs));
  }
  return values;
}

function answer(net, pixels, off) {
  const plane = net.size * net.size, images = new Float32Array(net.channels * plane);
  for (let c = 0; c < net.channels; c++)
    for (let i = 0; i < plane; i++) {
      const q = i * net.channels + c;
      images[c * plane + i] = (pixels[q] - net.mean[net.mean.length === pixels.length ? q : c % net.mean.length]) / net.scale[c % net.scale.length];
    }
  const values = forward(net, images, off), logits = values.get(net.steps.at(-1).name);
  const most = Math.max(...logits), powers = Array.from(logits, (v) => Math.exp(v - most));
  const total = powers.reduce((a, b) => a + b), probabilities = powers.map((v) => v / total);
  return { probabilities, logits: Array.from(logits), map: map(net, values, logits.indexOf(most)) };
}

// The evidence of each place for a class: exact, as the logit is its mean.
function map(net, values, chosen) {
  const [gap, last] = net.steps.slice(-2);
  if (gap.kind !== "gap" || last.kind !== "linear") return null;
  const x = values.get(gap.inputs[0]), size = gap.sizeIn, found = new Float32Array(size * size).fill(last.b[chosen]);
  for (let c = 0; c < gap.cIn; c++)
    for (let i = 0; i < found.length; i++) found[i] += last.w[chosen * gap.cIn + c] * x[c * size * size + i];
  return found;
}

// Pillow's resize: a weighted mean of the pixels around each, along one axis and then along the other, each rounded.
// Pillow 13 begins with the columns if that leaves less work.
function resized(pixels, channels, width, height, box, newWidth, newHeight, cubic) {
  const [left, top, right, bottom] = box;
  const rows = (input, lines) => along(input, lines, width, channels, left, right, newWidth, cubic);
  const columns = (input, across) => along(input, 1, height, across * channels, top, bottom, newHeight, cubic);
  const isWide = newWidth !== width || left !== 0 || right !== width, isTall = newHeight !== height || top !== 0 || bottom !== height;
  if (!isWide) return isTall ? columns(pixels, width) : pixels;
  if (!isTall) return rows(pixels, height);
  if (height - newHeight > 2 * Math.max(0, width - newWidth)) return rows(columns(pixels, width), newHeight);
  return columns(rows(pixels, height), newWidth);
}

// [lines, length, step] to [lines, size, step], where the part from..to becomes `size` long.
function along(input, lines, length, step, from, to, size, cubic) {
  const scale = (to - from) / size, stretch = Math.max(scale, 1), reach = (cubic ? 2 : 1) * stretch;
  const found = new Uint8Array(lines * size * step);
  for (let i = 0; i < size; i++) {
    const centre = from + (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - reach + 0.5)), end = Math.min(length, Math.trunc(centre + reach + 0.5));
    const shares = Array.from({ length: end - start }, (_, k) => filter((k + start - centre + 0.5) * (1 / stretch), cubic));
    const total = shares.reduce((a, b) => a + b, 0);
    const whole = shares.map((share) => Math.trunc((share / total) * 4194304 + (share < 0 ? -0.5 : 0.5)));
    for (let line = 0; line < lines; line++)
      for (let q = 0; q < step; q++) {
        let sum = 2097152;
        for (let k = 0; k < whole.length; k++) sum += whole[k] * input[(line * length + start + k) * step + q];
        found[(line * size + i) * step + q] = Math.max(0, Math.min(255, Math.floor(sum / 4194304)));
      }
  }
  return found;
}

function filter(x, cubic) {
  const v = Math.abs(x);
  if (!cubic) return v < 1 ? 1 - v : 0;
  if (v < 1) return (1.5 * v - 2.5) * v * v + 1;
  return v < 2 ? (((v - 5) * v + 8) * v - 4) * -0.5 : 0;
}

// The square that a network sees of a picture, bytes [size, size, channels].
function seen(net, picture) {
  const { width, height, rgba } = picture, { channels, size, shorter } = net, plane = width * height;
  const pixels = new Uint8Array(plane * channels);
  for (let i = 0; i < plane; i++) {
    const [r, g, b] = rgba.subarray(4 * i, 4 * i + 3);
    if (channels === 1) pixels[i] = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
    else pixels.set([r, g, b], 3 * i);
  }
  const whole = [0, 0, width, height];
  if (net.resize === "squash") return resized(pixels, channels, width, height, whole, size, size, net.cubic);
  if (net.resize === "letterbox") return letterboxed(net, pixels, width, height, whole);
  if (width === size && height === size && shorter === size) return pixels;
  const factor = shorter / Math.min(width, height);
  const [newWidth, newHeight] = [width, height].map((side) => Math.max(Math.trunc(side * factor + 1e-9), size));
  const x = Math.trunc((newWidth - size + 1) / 2), y = Math.trunc((newHeight - size + 1) / 2);
  const edges = [(x * width) / newWidth, (y * height) / newHeight, ((x + size) * width) / newWidth, ((y + size) * height) / newHeight];
  const box = edges.map((edge, i) => Math.fround(Math.min(edge, i % 2 ? height : width))); // Pillow's box is single precision
  return resized(pixels, channels, width, height, box, size, size, net.cubic);
}

// The longer side becomes the square's; the picture is in the middle of the colour net.fill.
function letterboxed(net, pixels, width, height, whole) {
  const { channels, size, fill } = net, longer = Math.max(width, height);
  const [w, h] = [width, height].map((side) => Math.max(1, Math.floor((2 * side * size + longer) / (2 * longer))));
  const inner = resized(pixels, channels, width, height, whole, w, h, net.cubic), found = new Uint8Array(size * size * channels);
  for (let i = 0; i < found.length; i++) found[i] = fill[i % channels];
  const left = (size - w) >> 1, top = (size - h) >> 1;
  for (let y = 0; y < h; y++) found.set(inner.subarray(y * w * channels, (y + 1) * w * channels), ((top + y) * size + left) * channels);
  return found;
}

onmessage = ({ data }) => {
  if (data.net) return load(data.net);
  const started = performance.now(), net = nets[data.which];
  try {
    const pixels = seen(net, data.picture);
    postMessage({ id: data.id, ...answer(net, pixels, data.off), pixels, milliseconds: performance.now() - started });
  } catch (error) {
    postMessage({ id: data.id, error: String(error) });
  }
};
