"""A changed configuration is sorted by what can take effect when."""

from __future__ import annotations

from router.config.load import parse_config
from router.config.reload import ReloadPlan, compare
from router.config.schema import Config

PACS = '[destinations.PACS]\nae_title = "PACS"\nhost = "h"\nport = 104\n'


def plan(old: str, new: str) -> ReloadPlan:
    return compare(parse_config(old), parse_config(new))


def test_equal_configurations_change_nothing() -> None:
    assert compare(Config(), Config()).is_empty


def test_settings_are_sorted_by_their_reload_class() -> None:
    text = '[router]\nae_title = "X"\nworkers = 2\nack = "delivered"\n'
    text += '[listener]\nport = 1\n[log]\nlevel = "debug"'
    found = plan("", text)
    assert found.live == ["router.ack", "log.level"]
    assert found.next_association == ["router.ae_title"]
    assert found.restart == ["router.workers", "listener.port"]


def test_rules_change_live_and_as_a_whole() -> None:
    rule = PACS + '[[rules]]\nname = "a"\nto = ["PACS"]\n'
    assert plan(PACS, rule) == ReloadPlan(live=["rules"])


def test_destinations_come_go_and_change() -> None:
    assert plan("", PACS) == ReloadPlan(live=["destinations.PACS"])
    assert plan(PACS, "") == ReloadPlan(live=["destinations.PACS"])
    changed = plan(PACS, PACS.replace("104", "105") + "idle_s = 5")
    assert changed == ReloadPlan(
        live=["destinations.PACS.idle_s"], next_association=["destinations.PACS.port"]
    )


def test_a_first_source_changes_who_may_associate() -> None:
    found = plan("", '[sources.A]\ncalling_ae_titles = ["A"]')
    assert found == ReloadPlan(next_association=["router.unknown_sources", "sources.A"])


def test_the_order_of_sources_counts() -> None:
    one, other = '[sources.A]\naddresses = ["::1"]\n', '[sources.B]\naddresses = ["::2"]\n'
    assert plan(one + other, other + one) == ReloadPlan(next_association=["sources"])


LISTENER_TLS = '[listener.tls]\ncertificate = "a"\nkey = "b"\nca = "c"\n'


def test_tls_of_the_listener_changes_with_the_next_association_and_comes_with_a_restart() -> None:
    assert plan("", LISTENER_TLS) == ReloadPlan(restart=["listener.tls"])
    assert plan(LISTENER_TLS, LISTENER_TLS.replace('"c"', '"d"') + "port = 104") == ReloadPlan(
        next_association=["listener.tls.ca"], restart=["listener.tls.port"]
    )


def test_tls_of_a_destination_comes_and_changes_with_the_next_association() -> None:
    tls = PACS + "[destinations.PACS.tls]\n"
    assert plan(PACS, tls) == ReloadPlan(next_association=["destinations.PACS.tls"])
    assert plan(tls, tls + 'ca = "c"') == ReloadPlan(next_association=["destinations.PACS.tls.ca"])
