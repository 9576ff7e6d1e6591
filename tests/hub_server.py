"""A stand-in for a Hugging Face hub, on this machine: what pushing and pulling small files takes.

Files go inline with the commit, as the real hub has it for small ones; large ones would go to a
store of their own, of which nothing is here.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_test"


@dataclass
class Repository:
    """Its commits: each all files, by name."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    head: str | None = None


class Hub:
    """Runs until the block ends.

    Attributes:
        url: Of the hub.
        repositories: By OWNER/NAME.
        requests: Method and path of each, in their order.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Of", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Hub":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def files(self, name: str) -> dict[str, bytes]:
        """Return the newest files of a repository."""
        repository = self.repositories[name]
        return repository.commits[repository.head] if repository.head else {}

    def commit(self, name: str, files: dict[str, bytes]) -> str:
        """Add files to a repository; return the commit."""
        repository = self.repositories[name]
        content = {**self.files(name), **files}
        sha = hashlib.sha1(repr(sorted(content.items())).encode()).hexdigest()
        repository.commits[sha], repository.head = content, sha
        return sha


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._note()
        path = self._path()
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if not self._known():
            return self._refuse(401, "", "Invalid username or password.")
        if path == "/api/repos/create":
            asked = json.loads(content)
            name = f"{asked['organization']}/{asked['name']}"
            if asked["organization"] == "somebody-else":
                return self._refuse(403, "", "You don't have the rights to create a model here")
            private = asked.get("private", asked.get("visibility") == "private")
            self.hub.repositories.setdefault(name, Repository(private=bool(private)))
            return self._json({"url": f"{self.hub.url}/{name}", "name": name})
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", path)
        if match is None or match[1] not in self.hub.repositories:
            return self._refuse(404, "RepoNotFound", "Repository not found")
        if match[2] == "preupload":
            named = [one["path"] for one in json.loads(content)["files"]]
            modes = [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in named]
            return self._json({"files": modes})
        lines = [json.loads(line) for line in content.splitlines()]
        values = [line["value"] for line in lines if line["key"] == "file"]
        sha = self.hub.commit(match[1], {v["path"]: base64.b64decode(v["content"]) for v in values})
        address = f"{self.hub.url}/{match[1]}/commit/{sha}"
        return self._json({"commitUrl": address, "commitOid": sha, "success": True})

    def do_GET(self) -> None:
        self._note()
        path = self._path()
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
        match = match or re.fullmatch(r"/([^/]+/[^/]+)/(resolve)/([^/]+)/(.+)", path)
        repository = self.hub.repositories.get(match[1]) if match else None
        if match is None or repository is None or (repository.private and not self._known()):
            # The hub does not tell strangers what there is.
            return self._refuse(404 if self._known() else 401, "RepoNotFound", "Not found")
        sha = repository.head if match[3] in (None, "main") else match[3]
        if sha not in repository.commits:
            return self._refuse(404, "RevisionNotFound", f"Invalid rev id: {match[3]}")
        files = repository.commits[sha]
        if match[2] == "tree":
            entries = [
                {"type": "file", "path": name, "size": len(data), "oid": _oid(data)}
                for name, data in files.items()
            ]
            return self._json(entries)
        if match[2] != "resolve":
            siblings = [{"rfilename": name} for name in files]
            return self._json({"id": match[1], "sha": sha, "siblings": siblings, "tags": []})
        if match[4] not in files:
            return self._refuse(404, "EntryNotFound", "Entry not found")
        data = files[match[4]]
        return self._send(200, data, {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": str(sha)})

    do_HEAD = do_GET

    def log_message(self, *unused: object) -> None:
        """Print nothing."""

    def _note(self) -> None:
        self.hub.requests.append(f"{self.command} {self._path()}")

    def _path(self) -> str:
        return unquote(urlsplit(self.path).path)

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _refuse(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message}
        if code:
            headers["X-Error-Code"] = code
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _json(self, content: object) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
