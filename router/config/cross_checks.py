"""What one setting demands of another, and what the rules say: checked on the file's own table.

These run also when single settings are wrong, so that all mistakes are told at once; hence no type is
trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from router.config.mistakes import Mistakes, suggestion
from router.config.schema import Config
from router.config.when import parse_when

RULES_MAX = 1000
DESTINATIONS_MAX = 256  # each is a label value of the metrics, in a page of fixed size
SOURCES_MAX = 256


def cross_checks(table: dict[str, Any], config: Config | None, mistakes: Mistakes) -> None:
    """Add the mistakes that no single setting shows. config: None if a single setting is wrong."""
    _counts(table, mistakes)
    _rules(table, mistakes)
    if config is not None:
        _sizes(config, mistakes)
        _destinations(config, mistakes)
        _sources(config, mistakes)
        _duplicates(config, mistakes)
        _listener(config, mistakes)


def _counts(table: dict[str, Any], mistakes: Mistakes) -> None:
    limits = {"rules": RULES_MAX, "destinations": DESTINATIONS_MAX, "sources": SOURCES_MAX}
    for name, maximum in limits.items():
        count = len(table[name]) if isinstance(table.get(name), dict | list) else 0
        if count > maximum:
            mistakes.add(name, f"has {count} entries, allowed {maximum}")


def _rules(table: dict[str, Any], mistakes: Mistakes) -> None:
    destinations = table.get("destinations")
    known = list(destinations) if isinstance(destinations, dict) else []
    first_use: dict[str, int] = {}
    for index, rule in _tables(table.get("rules")):
        name = rule.get("name")
        if isinstance(name, str) and first_use.setdefault(name, index) != index:
            mistakes.add(f"rules[{index}].name", f"{name!r} is the name of rules[{first_use[name]}] too")
        _rule_when(index, rule, mistakes)
        _rule_destinations(index, rule, known, mistakes)


def _rule_when(index: int, rule: dict[str, Any], mistakes: Mistakes) -> None:
    when = rule.get("when")
    if not isinstance(when, dict):
        return

    def report(key: str, why: str, hint: str) -> None:
        mistakes.add(f"rules[{index}].when.{key}" if key else f"rules[{index}].when", why, hint)

    parse_when(when, report)


def _rule_destinations(index: int, rule: dict[str, Any], known: list[str], mistakes: Mistakes) -> None:
    to = rule.get("to")
    if to == []:
        mistakes.add(f"rules[{index}].to", "is empty", "name at least one destination")
    for position, name in enumerate(to if isinstance(to, list) else []):
        if isinstance(name, str) and name not in known:
            hint = suggestion(name, known) or "there are no [destinations]"
            mistakes.add(f"rules[{index}].to[{position}]", f"{name!r} is not a destination", hint)


def _sizes(config: Config, mistakes: Mistakes) -> None:
    limits = config.limits
    if limits.slot_kb > limits.slab_mb * 1024 // 4:
        why = f"slots of {limits.slot_kb} kb need a slab of at least four, got slab_mb = {limits.slab_mb}"
        mistakes.add("limits.slot_kb", why)
    if limits.spill_mb > limits.slab_mb:
        mistakes.add("limits.spill_mb", f"is {limits.spill_mb}, more than slab_mb = {limits.slab_mb}")


def _destinations(config: Config, mistakes: Mistakes) -> None:
    for name, destination in config.destinations.items():
        if destination.retry_first_s > destination.retry_max_s:
            why = f"is {destination.retry_first_s:g}, more than retry_max_s = {destination.retry_max_s:g}"
            mistakes.add(f"destinations.{name}.retry_first_s", why)
        alternate = destination.alternate
        if alternate == name:
            mistakes.add(f"destinations.{name}.alternate", "is the destination itself")
        elif alternate and alternate not in config.destinations:
            hint = suggestion(alternate, list(config.destinations)) or "name another of [destinations]"
            mistakes.add(f"destinations.{name}.alternate", f"{alternate!r} is not a destination", hint)
        tls, key = destination.tls, f"destinations.{name}.tls"
        if tls is None:
            continue
        if (tls.certificate is None) != (tls.key is None):
            mistakes.add(key, "certificate and key go together", "give both, or neither")
        _suites(f"{key}.cipher_suites", tls.minimum, tls.cipher_suites, mistakes)


def _suites(key: str, minimum: str, suites: tuple[str, ...], mistakes: Mistakes) -> None:
    if minimum == "1.2" and not suites:
        mistakes.add(key, "is empty", 'TLS 1.2 needs one; minimum = "1.3" does not')


def _listener(config: Config, mistakes: Mistakes) -> None:
    listener, tls = config.listener, config.listener.tls
    if tls is None:
        if not listener.plain:
            mistakes.add("listener.plain", "is false without [listener.tls]", "nobody could connect")
        return
    if listener.plain and listener.port == tls.port != 0:
        why = f"{tls.port} is the port of [listener] too"
        mistakes.add(
            "listener.tls.port", why, "plain and TLS have a port each; 2762 is that of DICOM over TLS"
        )
    if tls.client_certificates != "none" and tls.ca is None:
        hint = 'give the CAs that senders\' certificates come from, or set client_certificates = "none"'
        mistakes.add("listener.tls.ca", "is required to check senders' certificates", hint)
    _suites("listener.tls.cipher_suites", tls.minimum, tls.cipher_suites, mistakes)


def _sources(config: Config, mistakes: Mistakes) -> None:
    for name, source in config.sources.items():
        if not any(
            (
                source.calling_ae_titles,
                source.addresses,
                source.certificate_names,
                source.certificate_fingerprints,
            )
        ):
            hint = "give calling_ae_titles, addresses or both"
            mistakes.add(f"sources.{name}", "matches every sender", hint)
        is_bound = bool(source.certificate_names or source.certificate_fingerprints)
        tls = config.listener.tls
        if (source.tls or is_bound) and tls is None:
            mistakes.add(f"sources.{name}", "needs TLS, and there is no [listener.tls]")
        elif is_bound and tls is not None and tls.client_certificates == "none":
            hint = 'set listener.tls.client_certificates = "required" or "optional"'
            mistakes.add(f"sources.{name}", "needs a certificate, and senders are not asked for one", hint)


def _duplicates(config: Config, mistakes: Mistakes) -> None:
    """Skipping needs every version of an instance in the ledger, or the last one might be the one skipped."""
    if config.router.duplicates != "skip":
        return
    acks = {"router.ack": config.router.ack}
    acks |= {f"sources.{name}.ack": source.ack or "stored" for name, source in config.sources.items()}
    for key, ack in acks.items():
        if ack == "delivered":
            hint = 'use ack = "stored", or duplicates = "forward"'
            mistakes.add("router.duplicates", f'"skip" cannot go with {key} = "delivered"', hint)


def _tables(value: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, one in enumerate(value if isinstance(value, list) else []):
        if isinstance(one, dict):
            yield index, one
