"""A network in the browser: the page of `reslab export --to page` beside onnxruntime-web, in one Chromium.

`python -m benchmarks.browser [--quick] [--pairs N] [--record]`. Needs chromium, playwright, npm, and CIFAR-10.

Peer    onnxruntime-web (npm, fetched for the run), wasm with SIMD on one thread, on the file that `export --to onnx`
        writes. Its page is served on the loopback, as wasm cannot be loaded from disk.
Ours    the same network in the page's worker: plain JavaScript, weights in half precision.
Each piece is the median time of several pictures, from pixels to probabilities, as each page measures itself.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import reslab
from benchmarks.side import ROOT, Bar, BenchmarkOptions, Row, in_turn, main

PACKAGE = "onnxruntime-web@1.30.0"
RUNS = {20: "gpu-whole/cifar_resnet20-s0", 56: "cifar10-quarter/cifar_resnet56-*-s0-*"}
PEER = """<!doctype html><script src="ort.wasm.min.js"></script><script>
ort.env.wasm.numThreads = 1;
const sessions = {};
async function run(file, count) {
  const session = sessions[file] ||= await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
  const times = [];
  for (let i = 0; i < count; i++) {
    const pixels = Float32Array.from({ length: 3072 }, Math.random), started = performance.now();
    await session.run({ images: new ort.Tensor("float32", pixels, [1, 3, 32, 32]) });
    times.push(performance.now() - started);
  }
  return times.sort((a, b) => a - b)[count >> 1];
}
</script>"""
OURS = """async (count) => {
  const rgba = new Uint8ClampedArray(4096), times = [];
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < 4096; k++) rgba[k] = 256 * Math.random();
    times.push((await ask(0, { width: 32, height: 32, rgba }, [])).milliseconds);
  }
  return times.sort((a, b) => a - b)[count >> 1];
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def rows(options: BenchmarkOptions) -> Iterator[Row]:
    from playwright.sync_api import sync_playwright

    place = os.environ.get("RESLAB_CIFAR10") or ROOT.parent / "shared" / "data" / "cifar10"
    count, chromium = 5 if options.quick else 40, shutil.which("chromium") or shutil.which("chromium-browser")
    with TemporaryDirectory(ignore_cleanup_errors=True) as name, sync_playwright() as playwright:
        folder = Path(name)
        subprocess.run(["npm", "install", "--silent", "--prefix", name, PACKAGE], check=True)
        for file in (folder / "node_modules" / "onnxruntime-web" / "dist").glob("ort*wasm*"):
            shutil.copy(file, folder)
        (folder / "peer.html").write_text(PEER)
        server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=name))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        flags = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        peer = browser.new_page()
        peer.goto(f"http://127.0.0.1:{server.server_address[1]}/peer.html")
        for depth, pattern in RUNS.items():
            (run,) = (ROOT / "results").glob(pattern)
            data = f"cifar10:{place}"
            page_file = reslab.export(run, to="page", data=data, out=folder / f"{depth}.html")
            onnx = reslab.export(run, to="onnx", data=data, out=folder / f"{depth}.onnx").name
            page = browser.new_page()
            page.goto(page_file.as_uri())
            page.wait_for_selector("body[data-ready]")
            call = f"run({json.dumps(onnx)}, {count})"

            def ours(page: Any = page) -> float:
                return float(page.evaluate(OURS, count))

            def theirs(call: str = call) -> float:
                return float(peer.evaluate(call))

            ours(), theirs()
            note = f"{browser.version}, {PACKAGE} wasm, 1 thread; the page has {page_file.stat().st_size / 1e6:.2f} MB"
            yield in_turn(f"one picture, cifar_resnet{depth}, in Chromium", "ms", ours, theirs, options, Bar(), (note,))
        server.shutdown()


if __name__ == "__main__":
    sys.exit(main("browser", "A network in the browser", rows))
