"""`dicom-router queue ls|show|destinations|study|retry|release|drop`: see and work a running router's queue.

ls without arguments counts by destination and state; with a filter it lists entries. destinations says
which of them are down, and why. study proves what was
received of a study, and what was delivered where, when and with which status. All ask the router's admin,
found by --admin, by --config FILE, or at the default admin address.
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from router.errors import ConfigErrors, RouterError
from router.standard.printable import printable

ADMIN_DEFAULT = "http://127.0.0.1:8080"
HTTP_S = 30.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024
LIST_LIMIT = 100
FILTERS = ("destination", "state", "study", "sop_instance")
STATES = ("pending", "retrying", "dead", "held", "delivered", "discarded", "diverted")
CELL_CHARACTERS_MAX = 72

COUNT_COLUMNS = ("destination", "state", "count", "bytes", "oldest")
DESTINATION_COLUMNS = (
    "destination",
    "worker",
    "circuit",
    "down",
    "next",
    "sending",
    "held",
    "alternate",
    "error",
)
ENTRY_COLUMNS = (
    "id",
    "destination",
    "state",
    "attempts",
    "age",
    "next",
    "calling",
    "bytes",
    "sop_instance",
    "error",
)

STUDY_COLUMNS = ("sop_instance", "received", "destination", "state", "status", "at", "error")

Json = dict[str, Any]


class AdminError(RouterError):
    """Admin cannot be reached, or refused."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    verbs = parser.add_subparsers(
        dest="verb", metavar="ls|show|destinations|study|retry|release|drop", required=True
    )
    listing = verbs.add_parser("ls", help="count by destination and state, or list entries")
    _add_filters(listing)
    listing.add_argument(
        "--limit", type=int, default=LIST_LIMIT, help="most entries to list (default %(default)s)"
    )
    listing.add_argument("--after", metavar="ID", help="list what follows this entry")
    _add_common(listing, _list)
    show = verbs.add_parser("show", help="show one entry")
    show.add_argument("entry", metavar="ID", help="entry id, as ls prints it")
    _add_common(show, _show)
    places = verbs.add_parser("destinations", help="show which destinations are up, and why others are not")
    _add_common(places, _destinations)
    study = verbs.add_parser("study", help="show what became of a study: received, delivered, where, when")
    study.add_argument("study", metavar="UID", help="Study Instance UID")
    _add_common(study, _study)
    for verb, text in (
        ("retry", "try dead or waiting entries again now"),
        ("release", "send held entries on their way"),
        ("drop", "give up entries for good"),
    ):
        command = verbs.add_parser(verb, help=text, description=text)
        command.add_argument("entry", metavar="ID", nargs="?", help="entry id; or choose by the options")
        _add_filters(command)
        command.add_argument("--all", action="store_true", help="every entry this applies to")
        if verb == "drop":
            command.add_argument("--yes", action="store_true", help="do not ask")
        _add_common(command, _change)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code: 0, or 1 with one line on standard error."""
    try:
        code: int = arguments.work(arguments, admin_url(arguments))
    except ConfigErrors as errors:
        print(errors, file=sys.stderr)
        return 1
    except RouterError as error:
        print(f"dicom-router queue: {error}", file=sys.stderr)
        return 1
    return code


def main(argv: list[str] | None = None) -> int:
    """Run the command on its own."""
    parser = argparse.ArgumentParser(prog="dicom-router queue")
    configure(parser)
    return run(parser.parse_args(argv))


def admin_url(arguments: argparse.Namespace) -> str:
    """Return where admin is: as given, as the running router of a configuration says, or the default."""
    if arguments.config is None:
        given: str = arguments.admin or ADMIN_DEFAULT
        return (given if "://" in given else f"http://{given}").rstrip("/")
    from router.config.load import load_config  # not needed with --admin, and slow

    config = load_config(arguments.config)
    try:
        run_file = json.loads((Path(config.spool.path) / "run.json").read_text())
        return f"http://{run_file['admin']}"
    except (OSError, ValueError, KeyError):
        return f"http://{config.admin.host}:{config.admin.port}"


def ask(url: str, body: Json | None = None) -> Json:
    """Ask admin; return its JSON answer. body: makes it a POST. Raises AdminError in one line."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
    # No proxy from the environment: admin is on this machine or a neighbour.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=HTTP_S) as answer:
            found = json.loads(answer.read(ANSWER_BYTES_MAX))
    except urllib.error.HTTPError as error:
        raise AdminError(_refusal(error)) from None
    except (OSError, ValueError) as error:
        place = urllib.parse.urlsplit(url).netloc or url
        why = getattr(error, "reason", error)
        why = getattr(why, "strerror", None) or why
        raise AdminError(
            f"no router answers at {place} ({why}); is it running, and is that its admin address?"
        ) from None
    if not isinstance(found, dict):
        raise AdminError("the answer is not what a router's admin says")
    for why in found.get("errors", ()):
        print(f"dicom-router queue: incomplete: {printable(str(why), 300)}", file=sys.stderr)
    return found


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--destination", metavar="NAME", help="of this destination")
    parser.add_argument("--state", choices=STATES, help="in this state")
    parser.add_argument("--study", metavar="UID", help="of this Study Instance UID")
    parser.add_argument("--sop-instance", metavar="UID", help="this SOP Instance UID")


def _add_common(parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace, str], int]) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--admin", metavar="URL", help=f"the router's admin address (default {ADMIN_DEFAULT})")
    where.add_argument("--config", metavar="FILE", help="find the router by its configuration file")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.set_defaults(work=work)


def _filters(arguments: argparse.Namespace) -> Json:
    return {name: value for name in FILTERS if (value := getattr(arguments, name)) is not None}


def _list(arguments: argparse.Namespace, admin: str) -> int:
    filters = _filters(arguments)
    if not filters and not arguments.after:
        answer = ask(f"{admin}/queue/counts")
        rows = [_count_row(row) for row in answer["counts"]]
        _print(arguments, answer, COUNT_COLUMNS, rows, "nothing is queued")
        return 0
    query = {**filters, "limit": arguments.limit} | ({"after": arguments.after} if arguments.after else {})
    answer = ask(f"{admin}/queue?{urllib.parse.urlencode(query)}")
    rows = [_entry_row(row) for row in answer["entries"]]
    _print(arguments, answer, ENTRY_COLUMNS, rows, "no entries")
    if answer.get("next") and not arguments.json:
        print(f"more: add --after {answer['next']}")
    return 0


def _destinations(arguments: argparse.Namespace, admin: str) -> int:
    answer = ask(f"{admin}/destinations")
    rows = [_destination_row(row) for row in answer["destinations"]]
    _print(arguments, answer, DESTINATION_COLUMNS, rows, "no destinations")
    return 0


def _show(arguments: argparse.Namespace, admin: str) -> int:
    answer = ask(f"{admin}/queue/{urllib.parse.quote(arguments.entry, safe='')}")
    if arguments.json:
        print(json.dumps(answer))
        return 0
    for key, value in answer.items():
        print(f"{key}: {_value(value)}")
    return 0


def _study(arguments: argparse.Namespace, admin: str) -> int:
    url = f"{admin}/studies/{urllib.parse.quote(arguments.study, safe='')}"
    answer = ask(url)
    instances = {row["id"]: row for row in answer["instances"]}
    while answer.get("next"):
        answer = ask(f"{url}?after={answer['next']}")
        for row in answer["instances"]:
            instances.setdefault(row["id"], row)["deliveries"] = row["deliveries"]
    whole = {"study": arguments.study, "instances": list(instances.values()), "errors": answer["errors"]}
    rows = [
        _delivery_row(instance, delivery)
        for instance in instances.values()
        for delivery in instance["deliveries"]
    ]
    _print(arguments, whole, STUDY_COLUMNS, rows, "nothing is known of this study")
    if not arguments.json and sys.stdout.isatty():
        delivered = sum(row[3] == "delivered" for row in rows)
        print(f"{len(instances)} received, {delivered} of {len(rows)} deliveries done")
    return 0


def _change(arguments: argparse.Namespace, admin: str) -> int:
    selector = _filters(arguments)
    if arguments.entry:
        selector["id"] = arguments.entry
    if arguments.all:
        selector["all"] = True
    if not selector:
        raise AdminError(f"{arguments.verb} what? Give an entry id, a filter such as --destination, or --all")
    if arguments.verb == "drop" and not arguments.yes and not _confirm(selector):
        print("nothing dropped")
        return 1
    answer = ask(f"{admin}/queue/{arguments.verb}", selector)
    words = {"retry": "to be tried again", "release": "released", "drop": "dropped"}
    print(json.dumps(answer) if arguments.json else f"{answer['changed']} {words[arguments.verb]}")
    return 1 if answer.get("errors") else 0


def _confirm(selector: Json) -> bool:
    """Ask a person whether to drop; without a terminal the answer is no."""
    chosen = (
        "everything"
        if selector.get("all")
        else ", ".join(f"{key} {value}" for key, value in selector.items())
    )
    if not sys.stdin.isatty():
        raise AdminError(f"drop of {chosen} not confirmed: add --yes")
    return input(f"Drop {chosen} for good? Instances are not delivered then. [y/N] ").strip().lower() in (
        "y",
        "yes",
    )


def _count_row(row: Json) -> list[str]:
    return [row["destination"], row["state"], str(row["count"]), size(row["bytes"]), age(row["oldest_age_s"])]


def _destination_row(row: Json) -> list[str]:
    is_up = row["circuit"] == "closed"
    return [
        row["destination"],
        str(row["worker"]),
        row["circuit"],
        "-" if is_up else age(row["down_s"]),
        age(row["retry_s"]),
        str(row["in_flight"]),
        str(row["queued"]),
        row["alternate"] or "",
        "" if is_up else row["last_text"] or "",
    ]


def _entry_row(row: Json) -> list[str]:
    return [
        row["id"],
        row["destination"],
        row["state"],
        str(row["attempts"]),
        age(row["age_s"]),
        age(row["next_attempt_s"]),
        row["calling"],
        size(row["bytes"]),
        row["sop_instance"],
        row["last_error"] or "",
    ]


def _delivery_row(instance: Json, delivery: Json) -> list[str]:
    return [
        instance["sop_instance"],
        instance["received"],
        delivery["destination"] or "-",
        delivery["state"],
        delivery["status"] or "-",
        delivery["at"],
        delivery["error"] or "",
    ]


def age(seconds: float | None) -> str:
    """Write a duration in its largest whole unit, as in 3h; - for none."""
    if seconds is None:
        return "-"
    for unit, length_s in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length_s:
            return f"{seconds / length_s:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def size(count: int) -> str:
    """Write a number of bytes with a binary unit, as in 512k."""
    value = float(count)
    for unit in ("", "k", "M", "G"):
        if value < 1024:
            return f"{value:.0f}{unit}"
        value /= 1024
    return f"{value:.1f}T"


def _print(
    arguments: argparse.Namespace, answer: Json, columns: Sequence[str], rows: list[list[str]], nothing: str
) -> None:
    """Print an answer: as JSON, as a table on a terminal, else as tab-separated cells under a head."""
    if arguments.json:
        print(json.dumps(answer))
        return
    cells = [[printable(str(cell), CELL_CHARACTERS_MAX) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in (columns, *cells):
            print("\t".join(line))
    elif not cells:
        print(nothing)
    else:
        _print_table(columns, cells)


def _print_table(columns: Sequence[str], rows: list[list[str]]) -> None:
    from rich.console import Console  # its import is slow, and for terminals only
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_value(one) for one in value)
    if isinstance(value, dict):
        return "; ".join(f"{key} {_value(one)}" for key, one in value.items())
    return "-" if value is None else printable(str(value), 300)


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        errors = json.loads(error.read(ANSWER_BYTES_MAX))["errors"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"admin answered {error.code} {error.reason}"
    return printable("; ".join(str(one) for one in errors), 500)


if __name__ == "__main__":
    sys.exit(main())
