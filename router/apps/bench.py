"""`dicom-router bench`: send load, receive load, or measure what stands between, on any machine.

`bench send` is a storage SCU, `bench sink` a storage SCP, both so cheap that what they talk to is what is
measured; `bench relay` puts the router, or any other relay, between the two.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from router.errors import RouterError

# name -> (module, one line of help)
MODES = {
    "send": ("router.apps.bench_send", "send instances to a storage SCP and measure its answers"),
    "sink": ("router.apps.bench_sink", "receive instances, count and judge them"),
    "relay": ("router.apps.bench_relay", "measure a relay between a sender and a sink"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    modes = parser.add_subparsers(dest="mode", required=True, metavar="{send,sink,relay}")
    for name, (module, text) in MODES.items():
        mode = modes.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        importlib.import_module(module).configure(mode)


def run(args: argparse.Namespace) -> int:
    """Run one of the modes; 1 if anything went wrong or was lost."""
    try:
        return int(importlib.import_module(MODES[args.mode][0]).run(args))
    except (RouterError, RuntimeError, OSError, ValueError) as error:
        print(f"bench {args.mode}: {error}", file=sys.stderr)
        return 1
