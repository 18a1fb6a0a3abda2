"""Uploads, to a tiny hub in this process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from pakar.errors import UserError
from pakar.export import hub


class TinyHub(BaseHTTPRequestHandler):
    """Answers as the hub does for small files, which are sent within the commit; keeps what it was asked."""

    asked: list[tuple[str, Any]] = []  # noqa: RUF012 - one for each test, see the fixture

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        lines = [json.loads(line) for line in body.decode().splitlines() if line.strip()]
        self.asked.append((self.path, lines))
        if self.path == "/api/repos/create":
            self._answer({"url": "https://huggingface.co/me/mine", "name": "me/mine"})
        elif "/preupload/" in self.path:
            paths = [file["path"] for file in lines[0]["files"]]
            self._answer({"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]})
        elif "/commit/" in self.path:
            self._answer(
                {"commitUrl": "https://huggingface.co/me/mine/commit/abc", "commitOid": "abc", "success": True}
            )
        else:
            self._answer({})

    def do_GET(self) -> None:
        self._answer({"id": "me/mine", "sha": "abc", "siblings": []})

    def _answer(self, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep the terminal clean."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    TinyHub.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), TinyHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = f"http://127.0.0.1:{server.server_address[1]}"
    real = huggingface_hub.HfApi
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: real(endpoint=found, token="hf_test"))
    yield found
    server.shutdown()
    server.server_close()


def folder(path: Path) -> Path:
    (path / "sub").mkdir(parents=True)
    (path / "README.md").write_text("# Card")
    (path / "sub" / "config.json").write_text("{}")
    return path


def test_a_listing_names_every_file_with_its_bytes(tmp_path: Path) -> None:
    found = hub.listing(folder(tmp_path / "model"))
    assert [(file.path, file.bytes) for file in found] == [("README.md", 6), ("sub/config.json", 2)]
    assert found[1].sha256.startswith("44136fa355b3678a")  # of "{}"


@pytest.mark.parametrize("private", [True, False])
def test_an_upload_makes_a_private_repository_and_sends_every_file(tmp_path: Path, address: str, private: bool) -> None:
    hub.push(folder(tmp_path / "model"), "me/mine", private=private)
    created = next(lines[0] for path, lines in TinyHub.asked if path == "/api/repos/create")
    assert created["visibility"] == ("private" if private else "public")
    assert (created["name"], created["organization"]) == ("mine", "me")
    [commit] = [lines for path, lines in TinyHub.asked if "/commit/" in path]
    sent = {line["value"]["path"] for line in commit if line["key"] == "file"}
    assert sent == {"README.md", "sub/config.json"}
    assert "Pakar" in commit[0]["value"]["summary"]


@pytest.mark.parametrize("name", ["mine", "a/b/c", "me/..", "me/mi ne", ""])
def test_names_that_no_hub_takes_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="expected OWNER/NAME"):
        hub.check_name(name)


def test_a_hub_that_cannot_be_reached_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = huggingface_hub.HfApi
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: real(endpoint="http://127.0.0.1:9", token="hf_test"))
    with pytest.raises(UserError, match=r"(?s)the upload to me/mine failed.*what was exported is kept"):
        hub.push(folder(tmp_path / "model"), "me/mine")
