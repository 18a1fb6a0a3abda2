"""What Spark needs, looked at before it starts: its own complaints are stack traces, and come after minutes."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from pakar.errors import UserError

JAVA = 17
"""Oldest Java that PySpark 4 starts with."""
SECONDS_TO_ANSWER = 10.0
"""For the machine that the recipe names as master."""
PORTS = {"spark": 7077, "sc": 15002}
"""Where a master listens that is named without a port."""
PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")

INSTALL_JAVA = (
    "install Java 17 or newer: `apt-get install openjdk-17-jre-headless` (Debian, Ubuntu), `brew install openjdk@17` "
    "(macOS), or `conda install -c conda-forge openjdk=17`; set JAVA_HOME if it is not on the PATH."
)


def check_java() -> None:
    """Java is there and new enough.

    Raises:
        UserError: it is not; names what was found.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else "java"
    found = shutil.which(java)
    if found is None:
        missing = f"there is no {java}, where JAVA_HOME points" if home else "there is no `java` on the PATH"
        raise UserError(f"Spark needs Java {JAVA} or newer, and {missing}", next_step=INSTALL_JAVA)
    told = _ask_version(found)
    version = java_version(told)
    if version is None or version < JAVA:
        said = f"version {version}" if version else f"of no known version ({told.strip()[:80] or 'it says nothing'})"
        raise UserError(f"Spark needs Java {JAVA} or newer; {found} is {said}", next_step=INSTALL_JAVA)


def java_version(told: str) -> int | None:
    """The number in what `java -version` tells; Java 8 calls itself 1.8."""
    match = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(match[1]) if match else None


def check_master(master: str, key: str = "prepare.executor") -> None:
    """The machine of the master, which stands in the recipe under `key`, answers.

    Raises:
        UserError: nobody answers there, or what tells of the cluster is not set.
    """
    if master == "yarn" and not {"HADOOP_CONF_DIR", "YARN_CONF_DIR"} & os.environ.keys():
        raise UserError(
            f"{key}.master = yarn, but neither HADOOP_CONF_DIR nor YARN_CONF_DIR is set",
            next_step="set HADOOP_CONF_DIR to the folder with the cluster's yarn-site.xml.",
        )
    addresses = _addresses(master, key)
    failures = [failure for address in addresses if (failure := _failure(*address))]
    if addresses and len(failures) == len(addresses):
        raise UserError(
            f"the Spark master {master} cannot be reached: {'; '.join(failures)}",
            next_step="is it running, and is {key}.master spelt rightly? `local[*]` needs no cluster.",
        )


def _addresses(master: str, key: str) -> list[tuple[str, int]]:
    """Where to knock; standalone masters may be several: spark://one:7077,two:7077."""
    scheme, _, rest = master.partition("://")
    if scheme not in PORTS or (scheme == "sc" and any(name in os.environ for name in PROXIES)):
        return []
    try:
        places = [urlsplit(f"//{place}") for place in re.split("[/;]", rest)[0].split(",")]
        return [(place.hostname or "", place.port or PORTS[scheme]) for place in places]
    except ValueError:
        raise UserError(
            f"{key}.master = {master!r} is no address",
            next_step="expected is such as spark://HOST:7077 or sc://HOST:15002.",
        ) from None


def _failure(host: str, port: int) -> str:
    try:
        with socket.create_connection((host, port), SECONDS_TO_ANSWER):
            return ""
    except OSError as error:
        return f"{host}:{port}: {error.strerror or error}"


def _ask_version(java: str) -> str:
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - the user's own Java
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stderr + done.stdout
