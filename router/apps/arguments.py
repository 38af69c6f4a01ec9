"""The command-line options that the eight DICOM applications share: log, network, transfer syntaxes."""

from __future__ import annotations

import argparse
import math
import sys

from router import __version__
from router.standard.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

TIMEOUT_S = 30.0
PDU_MAX_BYTES = 16382
PDU_LEAST_BYTES = 8
"""A P-DATA-TF below holds no fragment of even length (PS3.8 section 9.3.5)."""

LOG_LEVELS = ("critical", "fatal", "error", "warn", "info", "debug", "trace")

EXIT_STATUS = (
    "Exit status: 0 if everything asked for was done, 1 if there was no association or any operation failed "
    "(unlike pynetdicom's application, which ends with 0 then), 2 for wrong use."
)
EXIT_STATUS_SCP = "Runs until Ctrl-C or SIGTERM. Exit status: 0, or 1 if it cannot listen, 2 for wrong use."


def add_general(parser: argparse.ArgumentParser, app: str, default_level: str = "error") -> None:
    """Add --version and the options of the log. default_level: the least severity shown without them."""
    group = parser.add_argument_group("General Options")
    group.add_argument(
        "--version",
        action="version",
        version=f"{app}.py v{__version__}",
        help="print version information and exit",
    )
    log = group.add_mutually_exclusive_group()
    log.add_argument("-q", "--quiet", action="store_true", help="no output at all")
    log.add_argument("-v", "--verbose", action="store_true", help="say what is done")
    log.add_argument("-d", "--debug", action="store_true", help="say everything")
    group.add_argument(
        "-ll",
        "--log-level",
        metavar="LEVEL",
        type=str.lower,
        choices=LOG_LEVELS,
        help=f"least severity that is shown: {', '.join(LOG_LEVELS)}; over -v and -d "
        f"(default: {default_level})",
    )
    parser.set_defaults(default_level=default_level)


def add_peer(parser: argparse.ArgumentParser) -> None:
    """Add where an SCU's peer is."""
    parser.add_argument("addr", help="TCP/IP address or host name of the DICOM peer")
    parser.add_argument("port", type=peer_port, help="TCP/IP port number of the peer")


def add_scu_network(parser: argparse.ArgumentParser, ae_title_default: str) -> argparse._ArgumentGroup:
    """Add the network options of an SCU."""
    group = parser.add_argument_group("Network Options")
    group.add_argument(
        "-aet",
        "--calling-aet",
        metavar="AET",
        type=ae_title,
        default=ae_title_default,
        help="my AE title (default: %(default)s)",
    )
    group.add_argument(
        "-aec",
        "--called-aet",
        metavar="AET",
        type=ae_title,
        default="ANY-SCP",
        help="AE title of the peer (default: %(default)s)",
    )
    add_timeouts(group)
    return group


def add_scp_network(parser: argparse.ArgumentParser, ae_title_default: str) -> argparse._ArgumentGroup:
    """Add the network options of an SCP, and its port."""
    parser.add_argument("port", type=listening_port, help="TCP/IP port number to listen on; 0: any free one")
    group = parser.add_argument_group("Network Options")
    group.add_argument(
        "-aet",
        "--ae-title",
        metavar="AET",
        type=ae_title,
        default=ae_title_default,
        help="my AE title (default: %(default)s)",
    )
    add_timeouts(group)
    group.add_argument(
        "-ba",
        "--bind-address",
        metavar="ADDRESS",
        default="",
        help="address of the interface to listen on (default: all interfaces)",
    )
    return group


def add_timeouts(group: argparse._ArgumentGroup, is_override: bool = False) -> None:
    """Add the timeouts and the PDU limit. is_override: without defaults, those are in a file."""
    for letter, name, what in (
        ("a", "acse", "ACSE messages"),
        ("d", "dimse", "DIMSE messages"),
        ("n", "network", "an idle association"),
    ):
        group.add_argument(
            f"-t{letter}",
            f"--{name}-timeout",
            metavar="SECONDS",
            type=seconds,
            default=None if is_override else TIMEOUT_S,
            help=f"timeout for {what} {'(as configured)' if is_override else '(default: %(default)g s)'}",
        )
    group.add_argument(
        "-pdu",
        "--max-pdu",
        metavar="BYTES",
        type=pdu_bytes,
        default=None if is_override else PDU_MAX_BYTES,
        help="largest PDU to receive, 0 for no limit "
        + ("(as configured)" if is_override else "(default: %(default)s)"),
    )


def add_requested_syntaxes(parser: argparse.ArgumentParser) -> None:
    """Add which transfer syntax an SCU proposes."""
    group = parser.add_argument_group("Transfer Syntax Options").add_mutually_exclusive_group()
    for flag, name, what in (
        ("-xe", "--request-little", "explicit VR little endian"),
        ("-xb", "--request-big", "explicit VR big endian"),
        ("-xi", "--request-implicit", "implicit VR little endian"),
    ):
        group.add_argument(flag, name, action="store_true", help=f"propose {what} only")


def requested_syntaxes(args: argparse.Namespace) -> list[str]:
    """Return the transfer syntaxes an SCU proposes, as add_requested_syntaxes() was answered."""
    if args.request_little:
        return [EXPLICIT_VR_LITTLE_ENDIAN]
    if args.request_big:
        return [EXPLICIT_VR_BIG_ENDIAN]
    if args.request_implicit:
        return [IMPLICIT_VR_LITTLE_ENDIAN]
    return [
        EXPLICIT_VR_LITTLE_ENDIAN,
        IMPLICIT_VR_LITTLE_ENDIAN,
        DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_BIG_ENDIAN,
    ]


def add_preferred_syntaxes(parser: argparse.ArgumentParser) -> None:
    """Add which transfer syntax an SCP chooses if it may."""
    group = parser.add_argument_group("Preferred Transfer Syntaxes").add_mutually_exclusive_group()
    for flag, name, what in (
        ("-x=", "--prefer-uncompr", "prefer explicit VR, local byte order"),
        ("-xe", "--prefer-little", "prefer explicit VR little endian"),
        ("-xb", "--prefer-big", "prefer explicit VR big endian"),
        ("-xi", "--implicit", "accept implicit VR little endian only"),
    ):
        group.add_argument(flag, name, action="store_true", help=what)


def preferred_syntaxes(args: argparse.Namespace) -> list[str]:
    """Return the transfer syntaxes an SCP accepts, in order of preference."""
    from router import ALL_TRANSFER_SYNTAXES

    if args.implicit:
        return [IMPLICIT_VR_LITTLE_ENDIAN]
    little, big = EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN
    first: list[str] = []
    if args.prefer_uncompr:
        first = [little, big] if sys.byteorder == "little" else [big, little]
    elif args.prefer_little:
        first = [little]
    elif args.prefer_big:
        first = [big]
    return first + [uid for uid in ALL_TRANSFER_SYNTAXES if uid not in first]


def ae_title(text: str) -> str:
    """Return the argument if it may be an AE title."""
    from router.api.validators import validate_ae

    is_valid, why = validate_ae(text) if text.strip() else (False, "must not be blank")
    if not is_valid:
        raise argparse.ArgumentTypeError(f"{text!r} is not an AE title: {why}")
    return text


def peer_port(text: str) -> int:
    """Return the argument if it may be a peer's port."""
    return _integer(text, 1, 65535, "a port number")


def listening_port(text: str) -> int:
    """Return the argument if it may be a port to listen on."""
    return _integer(text, 0, 65535, "a port number")


def positive(text: str) -> int:
    """Return the argument if it is a number of things, at least one."""
    return _integer(text, 1, 1 << 31, "a number")


def pdu_bytes(text: str) -> int:
    """Return the argument if it may be the largest PDU to receive."""
    value = _integer(text, 0, (1 << 32) - 1, "a number of bytes")
    if 0 < value < PDU_LEAST_BYTES:
        raise argparse.ArgumentTypeError(f"{value} is too small; 0 or at least {PDU_LEAST_BYTES}")
    return value


def seconds(text: str) -> float:
    """Return the argument if it may be a timeout."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def run_alone(app: str) -> int:
    """Run one application on its own: `python -m router.apps.NAME`."""
    from router.__main__ import main

    return main([app, *sys.argv[1:]])


def _integer(text: str, least: int, most: int, what: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}") from None
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{value} is not {what} from {least} to {most}")
    return value
