"""`dicom-router check`: every mistake of a configuration file, or where an image would go and why.

Exit status: 0 the file is good, 1 it has mistakes or the image cannot be read, 2 wrong use or no such file.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from router.config.load import UNREADABLE_FILE, load_config
from router.config.schema import Config
from router.config.sources import SourceTable
from router.config.values import check_ae_title, parse_address
from router.drivers.tls_check import tls_dates, tls_files, tls_mistakes
from router.errors import ConfigErrors
from router.routing.explain import ExplainedRule
from router.routing.facts import Decision

VALUE_MAX_CHARACTERS = 64  # of a value in the output
VALUES_SHOWN_MAX = 8

Part = str | tuple[str, str]  # text, or (text, style)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument("file", metavar="FILE", help="the configuration file")
    parser.add_argument("--explain", metavar="IMAGE", help="say which rules a DICOM file matches, and why")
    parser.add_argument(
        "--calling", metavar="AET", type=_ae_title, help="with --explain: the sender's AE title"
    )
    parser.add_argument("--called", metavar="AET", type=_ae_title, help="with --explain: the called AE title")
    parser.add_argument("--peer", metavar="ADDR", type=_address, help="with --explain: the sender's address")


def run(args: argparse.Namespace) -> int:
    """Check the file; return the exit status."""
    if not args.explain and (args.calling or args.called or args.peer):
        _complain("--calling, --called and --peer go with --explain")
        return 2
    try:
        config = load_config(args.file)
        notes = _check_tls(config, args.file)
    except ConfigErrors as errors:
        return _say_mistakes(args.file, errors)
    if args.explain:
        return _explain(args, config)
    _say((f"{args.file}: ", ""), ("ok", "bold green"))
    for line in [*_summary(config), *notes]:
        _say(f"  {line}")
    return 0


def _check_tls(config: Config, path: str) -> list[str]:
    """Look at the files of the TLS settings; return what is worth a note. Raises ConfigErrors."""
    if not any(tls_files(config)):
        return []
    dates = tls_dates(config, path)
    mistakes = [*tls_mistakes(config, path), *(error for error, is_out in dates if is_out)]
    if mistakes:
        raise ConfigErrors(mistakes)
    return [f"note: {error.key}: {error.why}" for error, _ in dates]


def _ae_title(text: str) -> str:
    try:
        return check_ae_title(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _address(text: str) -> str:
    if parse_address(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address")
    return text


def _say_mistakes(path: str, found: ConfigErrors) -> int:
    for error in found.errors:
        hint = f" ({error.hint})" if error.hint else ""
        _say(f"{error.path}: ", (error.key, "bold red"), f": {error.why}", (hint, "cyan"))
    if [error.key for error in found.errors] == [UNREADABLE_FILE]:
        return 2
    count = len(found.errors)
    _say(f"{path}: {count} mistake{'s' if count > 1 else ''}")
    return 1


def _summary(config: Config) -> Iterator[str]:
    """Yield what the configuration amounts to, and what looks like an oversight."""
    names = ", ".join(config.destinations) or "none"
    yield f"destinations: {names}"
    yield f"rules: {', '.join(rule.name for rule in config.rules) or 'none'}"
    yield f"unmatched: {config.router.unmatched}"
    tls = config.listener.tls
    if tls is not None:
        plain = f"plain too, on port {config.listener.port}" if config.listener.plain else "TLS only"
        yield f"TLS: port {tls.port}, client certificates {tls.client_certificates}; {plain}"
    if config.sources:
        yield f"sources: {', '.join(config.sources)}; others: {config.router.unknown_sources}"
    if not config.rules:
        yield f"note: without rules, every instance follows unmatched: {config.router.unmatched}"
    used = {name for rule in config.rules for name in rule.to}
    for name in config.destinations:
        if name not in used:
            yield f"note: no rule names the destination {name}"
    for index, rule in enumerate(config.rules[:-1]):
        if rule.stop and not rule.when:
            yield f"note: no instance gets past the rule {rule.name} (rules[{index}])"
            break


def _explain(args: argparse.Namespace, config: Config) -> int:
    """Say what the rules make of one image."""
    # Late: a plain check needs neither the codec nor the tables of the Standard.
    from router.apps.part10 import NotPart10, open_part10
    from router.routing.attributes import read_attributes
    from router.routing.decide import Facts
    from router.routing.rules import compile_rules
    from router.routing.wanted import SOP_CLASS_UID
    from router.standard.sop_classes import name_of

    rule_set = compile_rules(config.rules, config.router.unmatched)
    try:
        image = open_part10(args.explain)
        attributes = read_attributes([image.dataset], image.transfer_syntax, rule_set.wanted)
    except OSError as error:
        _complain(f"{args.explain}: {(error.strerror or 'cannot be read').lower()}")
        return 2
    except NotPart10 as error:
        _complain(f"{args.explain}: {error}")
        return 1
    except ValueError as error:
        reason, offset = error.args
        _complain(f"{args.explain}: the dataset cannot be parsed: {reason}; offset {offset}")
        return 1
    sop_class = attributes.get(SOP_CLASS_UID, (image.sop_class,))[0]
    called = args.called or config.router.ae_title
    facts = Facts(args.calling or "", called, args.peer or "", sop_class, image.transfer_syntax, attributes)
    _say(f"{args.explain}: {name_of(sop_class)}, transfer syntax {image.transfer_syntax}")
    _say_source(args, config)
    explanation = rule_set.explain(facts)
    not_given = {"calling_ae_title": "--calling"} if not args.calling else {}
    not_given |= {"peer_address": "--peer"} if not args.peer else {}
    for rule in explanation.rules:
        _say_rule(rule, not_given)
    _say_decision(explanation.decision)
    return 0


def _say_source(args: argparse.Namespace, config: Config) -> None:
    if not config.sources:
        return
    name = SourceTable(config.sources).find(args.calling or "", args.peer or "")
    if name is not None:
        _say(f"source: {name}")
    elif config.router.unknown_sources == "reject":
        _say("source: ", ("unknown; its association would be rejected", "yellow"))
    else:
        _say("source: unknown; accepted")


def _say_rule(rule: ExplainedRule, not_given: dict[str, str]) -> None:
    if not rule.reached:
        _say(f"rule {rule.name}: ", ("not reached; a rule above stops", "yellow"))
        return
    if rule.matched:
        stop = "; stops here" if rule.stop else ""
        _say(f"rule {rule.name}: ", ("matches", "bold green"), f" -> {', '.join(rule.to)}{stop}")
    else:
        _say(f"rule {rule.name}: ", ("does not match", "red"))
    if not rule.conditions:
        _say("  yes  no condition: matches everything")
    for condition in rule.conditions:
        indent = "  " * (condition.depth + 1)
        mark = ("yes", "green") if condition.holds else ("no ", "red")
        if condition.got is None:
            _say(indent, mark, f"  {condition.key}")
        else:
            got = _values_text(condition.got)
            if condition.key in not_given:
                got = f"nothing: give {not_given[condition.key]}"
            _say(indent, mark, f"  {condition.key}: wanted {condition.wanted}, got {got}")


def _values_text(values: tuple[str, ...]) -> str:
    if not values:
        return "nothing: the attribute is missing"
    shown = [f'"{_cut(value)}"' for value in values[:VALUES_SHOWN_MAX]]
    return ", ".join(shown) + (", ..." if len(values) > VALUES_SHOWN_MAX else "")


def _cut(value: str) -> str:
    return value if len(value) <= VALUE_MAX_CHARACTERS else value[:VALUE_MAX_CHARACTERS] + "..."


_UNMATCHED = {
    "hold": "no rule matches: held in the spool until it is released",
    "reject": "no rule matches: refused with a failure status",
    "discard": "no rule matches: answered with success and dropped",
}


def _say_decision(decision: Decision) -> None:
    if decision.action == "forward":
        _say("goes to: ", (", ".join(decision.destinations), "bold"))
    else:
        _say(("unmatched: ", "bold"), _UNMATCHED[decision.action])


def _say(*parts: Part) -> None:
    """Print one line; in colour on a terminal. Every character that could steer a terminal is escaped."""
    texts = [(part, "") if isinstance(part, str) else part for part in parts]
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        from rich.console import Console  # only a terminal pays for it
        from rich.text import Text

        Console().print(Text.assemble(*((_plain(text), style) for text, style in texts)), soft_wrap=True)
    else:
        print("".join(_plain(text) for text, _ in texts))


def _complain(text: str) -> None:
    print(f"dicom-router check: {_plain(text)}", file=sys.stderr)


def _plain(text: str) -> str:
    """Escape control characters, line ends and direction marks (CWE-117); letters of any script stay."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
