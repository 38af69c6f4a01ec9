"""The command line: `dicom-router COMMAND ...`, equal to `python -m router COMMAND ...`.

Each command is a module in `router.apps` with `configure(parser)` and `run(args) -> exit status`; it is
imported only when it is run. Exit status 2 is wrong use, 130 an interrupt.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import router

PROGRAM = "dicom-router"
INTERRUPTED = 130  # 128 + SIGINT, as shells say it

# name -> (module, one line of help), in the order of the help
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("router.apps.serve", "run the router"),
    "check": ("router.apps.check", "check a configuration file; explain where an image would go"),
    "demo": ("router.apps.demo", "show the router at work with two local archives"),
    "queue": ("router.apps.queue", "list, retry, release or drop what waits in a running router"),
    "bench": ("router.apps.bench", "measure the router on this machine"),
    "echoscp": ("router.apps.echoscp", "answer C-ECHO"),
    "echoscu": ("router.apps.echoscu", "send C-ECHO"),
    "findscu": ("router.apps.findscu", "query with C-FIND"),
    "getscu": ("router.apps.getscu", "retrieve with C-GET"),
    "movescu": ("router.apps.movescu", "retrieve with C-MOVE"),
    "qrscp": ("router.apps.qrscp", "answer queries and retrievals"),
    "storescp": ("router.apps.storescp", "receive instances into a folder"),
    "storescu": ("router.apps.storescu", "send instances"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status. Raises SystemExit for wrong use, --help and --version."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 is no reason to fail
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone: `dicom-router ... | head`. Python flushes again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def present_commands() -> dict[str, str]:
    """Return name -> help of the commands whose module exists, so that the help tells no lie."""
    return {name: text for name, (module, text) in COMMANDS.items() if importlib.util.find_spec(module)}


def _run(argv: list[str]) -> int:
    if not argv or argv[0].startswith("-"):
        _without_command(argv)
    name, *rest = argv
    if name not in COMMANDS or not importlib.util.find_spec(COMMANDS[name][0]):
        known = present_commands()
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "commands: " + ", ".join(known)
        _top_parser().error(f"{name!r} is not a command; {hint}")
    module_name, text = COMMANDS[name]
    app = importlib.import_module(module_name)
    parser = argparse.ArgumentParser(f"{PROGRAM} {name}", description=text[0].upper() + text[1:] + ".")
    app.configure(parser)
    return int(app.run(parser.parse_args(rest)))


def _without_command(argv: list[str]) -> NoReturn:
    """Answer --help and --version; anything else is wrong use."""
    parser = _top_parser()
    parser.parse_args(argv)
    parser.print_help(sys.stderr)
    raise SystemExit(2)


def _top_parser() -> argparse.ArgumentParser:
    commands = present_commands()
    width = max(map(len, commands), default=0)
    listed = "\n".join(f"  {name:{width}}  {text}" for name, text in commands.items())
    parser = argparse.ArgumentParser(
        PROGRAM,
        usage="%(prog)s [-h] [--version] COMMAND ...",
        description="A DICOM router.",
        epilog=f"commands:\n{listed}\n\n{PROGRAM} COMMAND --help says more about each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {router.__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
