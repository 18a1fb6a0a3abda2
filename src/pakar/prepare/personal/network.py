"""IP addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import partial

from presidio_analyzer import predefined_recognizers as presidio

from pakar.prepare.personal.found import Detector, Found
from pakar.prepare.personal.presidio import Recogniser, matches
from pakar.prepare.personal.surroundings import beside, embedded

_V4 = r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"
_V6 = r"[0-9A-Fa-f]:(?::|(?:[0-9A-Fa-f]{1,4}:){4})|::[0-9A-Fa-f]"
_ADDRESS_WORDS = ["ip", "ipv4", "ipv6", "address", "addresses", "addr", "alamat", "host", "server", "router", "gateway", "dns", "proxy", "login", "logged", "ping", "subnet", "network"]  # fmt: skip
_OTHER_WORDS = ["version", "versions", "ver", "v", "release", "build", "firmware", "section", "sections", "chapter", "chapters", "ec", "enzyme", "oid", "asn.1", "§"]  # fmt: skip


def ip_address() -> Detector:
    """IPv4 and IPv6 addresses that a machine can have; version numbers, sections and enzyme classes are none."""
    return Detector("ip-address", f"{_V4}|{_V6}", partial(_addresses, presidio.IpRecognizer()))


def _addresses(recogniser: Recogniser, text: str) -> Iterator[Found]:
    for candidate in re.finditer(f"{_V4}|{_V6}", text):
        for match in matches(recogniser, text, candidate.start() - 40, candidate.end() + 48):
            if not embedded(text, match.start, match.end) and _is_somebodys(text, match.start, match.end):
                yield Found(match.start, match.end, "ip-address")


def _is_somebodys(text: str, start: int, end: int) -> bool:
    address = ipaddress.ip_interface(text[start:end]).ip
    if address.is_loopback or address.is_unspecified or address.is_multicast:
        return False
    if beside(text, start, end, _ADDRESS_WORDS):
        return True
    if isinstance(address, ipaddress.IPv6Address):
        return len(text[start:end].replace(":", "")) > 5 and any(map(str.isdigit, text[start:end]))
    # Four small parts may be a version, a section or an enzyme class (EC 3.4.21.4), whose first part is 1 to 7.
    parts = address.packed
    outline = parts[0] <= 7 and parts[1] < 100 and parts[2] < 100
    return parts[0] != 255 and not outline and not beside(text, start, end, _OTHER_WORDS)
