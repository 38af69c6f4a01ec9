"""The kinds of value a setting can have: AE titles, ports, networks, hosts, names.

Each check raises ValueError with what is allowed; the key and the hint are added by `load.py`.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

AE_TITLE_MAX_CHARACTERS = 16  # PS3.5 section 6.2, VR AE
NAME_MAX_CHARACTERS = 64  # destination and source names become metric labels
HOST_MAX_CHARACTERS = 253  # RFC 1035

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_. -]{{0,{NAME_MAX_CHARACTERS - 1}}}")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def check_ae_title(text: str) -> str:
    """Return the AE title without its insignificant spaces (PS3.5 section 6.2, VR AE). Raises ValueError."""
    title = text.strip(" ")
    if not title:
        raise ValueError("an AE title must not be blank")
    if len(title) > AE_TITLE_MAX_CHARACTERS:
        raise ValueError(f"an AE title has at most {AE_TITLE_MAX_CHARACTERS} characters, got {len(title)}")
    if "\\" in title:
        raise ValueError("an AE title must not contain a backslash")
    if any(not " " <= character <= "~" for character in title):
        raise ValueError("an AE title has printable ASCII characters only")
    return title


def check_network(text: str) -> str:
    """Return the address or CIDR network in its usual form. Raises ValueError."""
    return str(parse_network(text))


def parse_network(text: str) -> IPNetwork:
    """Read an IPv4 or IPv6 address or CIDR network; an address is a network of one. Raises ValueError."""
    try:
        return ipaddress.ip_network(text.strip(), strict=True)
    except ValueError as error:
        if "host bits" in str(error):
            masked = ipaddress.ip_network(text.strip(), strict=False)
            raise ValueError(f'{text!r} has bits beyond its prefix; did you mean "{masked}"?') from None
        raise ValueError(f"{text!r} is not an IP address or CIDR network") from None


def parse_address(text: str) -> IPAddress | None:
    """Read a peer's address; IPv4 inside IPv6 (::ffff:10.0.0.1) becomes IPv4. None if it is no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def check_host(text: str) -> str:
    """Return a host name or address as given. Raises ValueError."""
    if not text or len(text) > HOST_MAX_CHARACTERS or any(not "!" <= character <= "~" for character in text):
        raise ValueError(f"must be a host name or an IP address, got {text!r}")
    return text


def check_name(text: str) -> str:
    """Return a destination, source or rule name. Raises ValueError."""
    if not _NAME.fullmatch(text):
        raise ValueError(
            "a name starts with a letter or digit and has at most "
            f"{NAME_MAX_CHARACTERS} letters, digits, spaces and . _ -, got {text!r}"
        )
    return text


def check_path(text: str) -> str:
    """Return a file system path as given. Raises ValueError."""
    if not text or "\x00" in text:
        raise ValueError("must be a path")
    return text


def check_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint as 64 small hexadecimal digits; colons may part the given ones.

    Raises ValueError.
    """
    digits = text.replace(":", "").replace(" ", "").lower()
    if not _FINGERPRINT.fullmatch(digits):
        raise ValueError(
            "a SHA-256 fingerprint has 64 hexadecimal digits, as openssl x509 -fingerprint shows"
        )
    return digits


def kind_of(value: Any) -> str:
    """Name a TOML value's kind, and a short value itself, for messages."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else "a long text"
    return f"{value}"


AETitle = Annotated[str, AfterValidator(check_ae_title)]
Network = Annotated[str, AfterValidator(check_network)]
Host = Annotated[str, AfterValidator(check_host)]
Name = Annotated[str, AfterValidator(check_name)]
Fingerprint = Annotated[str, AfterValidator(check_fingerprint)]
Path = Annotated[str, AfterValidator(check_path)]
Port = Annotated[int, Field(ge=0, le=65535, strict=True)]
PeerPort = Annotated[int, Field(ge=1, le=65535, strict=True)]
