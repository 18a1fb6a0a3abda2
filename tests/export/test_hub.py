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

from pakar.errors import UsageError, UserError
from pakar.export import hub


class TinyHub(BaseHTTPRequestHandler):
    """Answers as the hub does for small files, which are sent within the commit; keeps what it was asked."""

    asked: list[tuple[str, Any]] = []  # noqa: RUF012 - one for each test, see the fixture
    there: list[str] | None = None  # files of the repository
    refuses = False  # the login

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
        self.asked.append((self.path, None))
        if self.path == "/api/whoami-v2":
            self._answer({"name": "me", "orgs": [{"name": "my-team"}]}, 401 if self.refuses else 200)
        elif self.there is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif "/tree/" in self.path:
            self._answer([{"type": "file", "path": p, "size": 1, "oid": "0" * 40} for p in self.there])
        else:
            self._answer({"id": "me/mine", "sha": "abc", "siblings": [{"rfilename": p} for p in self.there]})

    def _answer(self, value: object, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep the terminal clean."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    TinyHub.asked.clear()
    TinyHub.there, TinyHub.refuses = [], False
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


def test_what_an_earlier_export_left_goes_with_the_same_upload(tmp_path: Path, address: str) -> None:
    TinyHub.there = [".gitattributes", "README.md", "adapter_model.safetensors", "pakar.json"]
    hub.push(folder(tmp_path / "model"), "me/mine")
    [commit] = [lines for path, lines in TinyHub.asked if "/commit/" in path]
    gone = {line["value"]["path"] for line in commit if line["key"] == "deletedFile"}
    assert gone == {"adapter_model.safetensors", "pakar.json"}  # what is uploaded anew is not deleted first


@pytest.mark.parametrize("use", [hub.check_ready, lambda name: hub.push(Path(), name)])
def test_a_repository_of_somebody_elses_files_is_left_alone(address: str, use: Any) -> None:
    TinyHub.there = [".gitattributes", "pytorch_model.bin"]
    with pytest.raises(UserError, match=r"did not write \(pytorch_model\.bin\)"):
        use("me/mine")
    assert not [path for path, _ in TinyHub.asked if "/commit/" in path]


@pytest.mark.parametrize("name", ["me/new", "my-team/new"])
def test_a_new_repository_of_ones_own_can_be_uploaded_to(address: str, name: str) -> None:
    TinyHub.there = None
    hub.check_ready(name)


def test_an_upload_that_must_fail_is_told_before_the_work(address: str) -> None:
    TinyHub.there = None
    with pytest.raises(UserError, match=r"(?s)logged in as me.*expected one of me, my-team.*--push me/mine"):
        hub.check_ready("others/mine")
    TinyHub.refuses = True
    with pytest.raises(UserError, match=r"(?s)nothing was exported.*hf auth login"):
        hub.check_ready("me/mine")


@pytest.mark.parametrize("name", ["mine", "a/b/c", "me/..", "me/mi ne", ""])
def test_names_that_no_hub_takes_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected OWNER/NAME") as refusal:
        hub.check_name(name)
    assert refusal.value.exit_code == 2


def test_a_hub_that_cannot_be_reached_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = huggingface_hub.HfApi
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: real(endpoint="http://127.0.0.1:9", token="hf_test"))
    with pytest.raises(
        UserError, match=r"(?s)the upload to me/mine failed.*what was exported is kept.*hf upload me/mine"
    ):
        hub.push(folder(tmp_path / "model"), "me/mine")
