"""A server on the loopback that answers as the Hugging Face Hub does where reslab asks it: files, and one commit."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub(files: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Serve `files` ("OWNER/NAME/FILE") and yield the address and the list of requests; a commit adds to the files."""
    requests: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer_file(with_content=True)

        def do_HEAD(self) -> None:
            self.answer_file(with_content=False)

        def answer_file(self, with_content: bool) -> None:
            requests.append(f"{self.command} {self.path}")
            owner, name, *rest = self.path.strip("/").split("/")
            content = files.get(f"{owner}/{name}/{rest[-1]}") if rest[:1] == ["resolve"] else None
            if content is None:
                known = any(key.startswith(f"{owner}/{name}/") for key in files)
                self.answer(404, b"", {"X-Error-Code": "EntryNotFound" if known else "RepoNotFound"})
                return
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            self.answer(200, content if with_content else b"", {"X-Repo-Commit": COMMIT, "ETag": etag}, len(content))

        def do_POST(self) -> None:
            requests.append(f"POST {self.path}")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            name = "/".join(self.path.split("/")[3:5])
            if self.path.startswith("/api/repos/create"):
                found = json.loads(body)
                self.answer_json({"url": f"{address}/{found.get('organization', 'me')}/{found['name']}"})
            elif self.path == "/api/validate-yaml":
                self.answer_json({"errors": [], "warnings": []})
            elif "/preupload/" in self.path:
                asked = [file["path"] for file in json.loads(body)["files"]]
                parts = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in asked]
                self.answer_json({"files": parts})
            elif "/commit/" in self.path:
                for line in body.splitlines():
                    item = json.loads(line)
                    if item["key"] == "file":
                        files[f"{name}/{item['value']['path']}"] = base64.b64decode(item["value"]["content"])
                self.answer_json({"commitUrl": f"{address}/{name}/commit/{COMMIT}", "commitOid": COMMIT})
            else:
                self.answer(404, b"", {})

        def answer_json(self, value: dict) -> None:
            self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def answer(self, code: int, content: bytes, headers: dict[str, str], length: int | None = None) -> None:
            self.send_response(code)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content) if length is None else length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield address, requests
    finally:
        server.shutdown()
        server.server_close()
