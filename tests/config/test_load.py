"""A good file becomes a Config; a bad one becomes all its mistakes, each with key, why and hint."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.config.load import UNREADABLE_FILE, load_config, parse_config
from router.config.schema import Config
from router.errors import ConfigError, ConfigErrors

DESTINATION = """
[destinations.PACS]
ae_title = "PACS"
host = "127.0.0.1"
port = 11113
"""


def mistakes(text: str) -> list[ConfigError]:
    with pytest.raises(ConfigErrors) as caught:
        parse_config(text, "f.toml")
    return caught.value.errors


def only(text: str) -> ConfigError:
    found = mistakes(text)
    assert len(found) == 1, [str(one) for one in found]
    return found[0]


def test_an_empty_file_is_all_defaults() -> None:
    config = parse_config("")
    assert config == Config()
    assert config.router.ae_title == "ROUTER"
    assert (config.router.ack, config.router.unmatched) == ("stored", "hold")
    assert (config.listener.host, config.listener.port) == ("0.0.0.0", 11112)
    assert (config.admin.host, config.admin.port) == ("127.0.0.1", 8080)
    assert config.spool.path == "/var/lib/dicom-router"
    assert config.rules == ()


def test_the_configuration_contract_is_read() -> None:
    config = parse_config(
        """
        [router]
        ae_title = "ROUTER"
        acceptors = 1
        workers = 1
        ack = "stored"
        unmatched = "hold"
        unknown_sources = "accept"
        [listener]
        host = "0.0.0.0"
        port = 11112
        [admin]
        host = "127.0.0.1"
        port = 8080
        [spool]
        path = "/var/lib/dicom-router"
        [destinations.PACS]
        ae_title = "PACS"
        host = "127.0.0.1"
        port = 11113
        associations_max = 8
        [[rules]]
        name = "ct"
        when = { Modality = "CT" }
        to = ["PACS"]
        """
    )
    assert config.destinations["PACS"].associations_max == 8
    assert config.rules[0].when == {"Modality": "CT"}
    assert config.rules[0].to == ("PACS",)


def test_a_config_survives_the_way_to_another_process() -> None:
    text = DESTINATION + '[[rules]]\nname = "a"\nto = ["PACS"]\nwhen = { StudyDate = { ge = 2024-05-01 } }'
    config = parse_config(text + '\n[sources.CT]\naddresses = ["10.0.0.0/8"]')
    assert Config.restore(config.dump()) == config
    assert config.rules[0].when == {"StudyDate": {"ge": "20240501"}}


def test_unknown_sources_are_rejected_once_a_source_is_listed() -> None:
    source = '[sources.CT]\ncalling_ae_titles = ["CT1"]\n'
    assert parse_config("").router.unknown_sources == "accept"
    assert parse_config(source).router.unknown_sources == "reject"
    assert parse_config(source + '[router]\nunknown_sources = "accept"').router.unknown_sources == "accept"


def test_destinations_are_called_by_the_title_of_the_router() -> None:
    config = parse_config('[router]\nae_title = "R1"' + DESTINATION)
    assert config.destinations["PACS"].calling_ae_title == "R1"
    config = parse_config('[router]\nae_title = "R1"' + DESTINATION + 'calling_ae_title = "R2"')
    assert config.destinations["PACS"].calling_ae_title == "R2"


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes(
        """
        [router]
        ae_titel = "X"
        acceptors = "2"
        [listener]
        port = 70000
        [destinations.PACS]
        ae_title = "PACS"
        host = "h"
        [[rules]]
        name = "ct"
        when = { Modalty = "CT", Rows = { ge = "x" } }
        to = ["PCS"]
        """
    )
    assert {one.key for one in found} == {
        "router.ae_titel",
        "router.acceptors",
        "listener.port",
        "destinations.PACS.port",
        "rules[0].when.Modalty",
        "rules[0].when.Rows.ge",
        "rules[0].to[0]",
    }
    assert all(one.path == "f.toml" for one in found)


@pytest.mark.parametrize(
    ("text", "key", "why", "hint"),
    [
        ("[router]\nae_titel = 'X'", "router.ae_titel", "is not a setting", "did you mean ae_title?"),
        ("[ruter]", "ruter", "is not a setting", "did you mean router?"),
        (DESTINATION + "prot = 1", "destinations.PACS.prot", "is not a setting", "did you mean port?"),
        (DESTINATION + "[[rules]]\nname='a'\nto=['PACS']\nwhn={}", "rules[0].whn", "not a", "mean when?"),
        ("[router]\nack = 'delivred'", "router.ack", "got 'delivred'", 'did you mean "delivered"?'),
        ("[router]\nacceptors = '2'", "router.acceptors", "a whole number, got '2'", "without quotes"),
        ("[router]\nacceptors = 1.0", "router.acceptors", "must be a whole number, got 1.0", ""),
        ("[router]\nacceptors = true", "router.acceptors", "must be a whole number, got true", ""),
        ("[router]\nacceptors = 0", "router.acceptors", "must be at least 1, got 0", ""),
        ("[router]\nartim_s = nan", "router.artim_s", "got nan", ""),
        ("[listener]\nport = 65536", "listener.port", "must be at most 65535, got 65536", ""),
        ("[listener]\nhost = 'a b'", "listener.host", "host name", ""),
        ("[spool]\nfsync = 1", "spool.fsync", "must be true or false, got 1", ""),
        ("[router]\nae_title = 'SEVENTEEN-LETTERS'", "router.ae_title", "at most 16 characters, got 17", ""),
        ("[router]\nae_title = ' '", "router.ae_title", "must not be blank", ""),
        ("[router]\nae_title = 'A\\B'", "router.ae_title", "backslash", ""),
        ('[router]\nae_title = "A\\tB"', "router.ae_title", "printable ASCII", ""),
        ("[router]\nae_title = 5", "router.ae_title", "must be text, got 5", "quotes"),
        ("[router]\ncalled_ae_titles = 'A'", "router.called_ae_titles", "must be a list", "brackets"),
        ("[sources.A]\naddresses = ['10.0.0.1/8']", "sources.A.addresses[0]", '"10.0.0.0/8"', ""),
        ("[sources.A]", "sources.A", "matches every sender", "calling_ae_titles"),
        ("[limits]\nspill_mb = 256", "limits.spill_mb", "more than slab_mb = 128", ""),
        ("[limits]\nslot_kb = 65536", "limits.slot_kb", "at least four", ""),
        (DESTINATION + "retry_first_s = 500", "destinations.PACS.retry_first_s", "retry_max_s = 300", ""),
        (DESTINATION + "alternate = 'PACS'", "destinations.PACS.alternate", "is the destination itself", ""),
        (DESTINATION + "alternate = 'PAC'", "destinations.PACS.alternate", "is not a destination", "PACS?"),
        ("rules = 5", "rules", "must be a list of tables, got 5", "[[rules]]"),
        ("router = 5", "router", "must be a table, got 5", "[name]"),
        ("[destinations]\n'a/b' = {ae_title='A',host='h',port=1}", "destinations.a/b", "a name starts", ""),
        (DESTINATION + "[[rules]]\nname='a'\nto=[]", "rules[0].to", "is empty", ""),
        (DESTINATION + "[[rules]]\nname='a'\nto=['PACS']\n[[rules]]\nname='a'\nto=['PACS']", "rules[1].name",
         "is the name of rules[0] too", ""),
        ("[[rules]]\nname='a'\nto=['PACS']", "rules[0].to[0]", "'PACS' is not a destination", "there are no"),
        (DESTINATION + "[[rules]]\nname='a'\nto=['pacs']", "rules[0].to[0]", "not a", "did you mean PACS?"),
    ],
)  # fmt: skip
def test_a_mistake_has_key_why_and_hint(text: str, key: str, why: str, hint: str) -> None:
    error = only(text)
    assert error.key == key
    assert why in error.why
    assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("[router]\nae_title = ROUTER\n", "line 2, column 12", "quotes"),
        ("[router\n", "line 1, column 8", ""),
        ('0008,0060 = "CT"', "line 1, column 5", '"0008,0060"'),
        ("router\n", "line 1, column 7", "key = value"),
        ("[router]\nx = [1,", "line 2", ""),
        ("[router]\n[router]\n", "line 2, column 8", ""),
    ],
)
def test_a_syntax_error_says_line_and_column(text: str, place: str, hint: str) -> None:
    error = only(text)
    assert error.key.startswith(place)
    assert hint in error.hint


def test_nesting_without_end_is_a_mistake_not_a_crash() -> None:
    assert mistakes("x = " + "[" * 100_000)


def test_control_characters_of_a_key_are_escaped() -> None:
    assert only('"a\\u001b[2J" = 1').key == "a\\x1b[2J"


def test_files_that_cannot_be_read_are_mistakes(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, key in (
        (tmp_path / "none.toml", UNREADABLE_FILE),
        (tmp_path, UNREADABLE_FILE),
        (binary, "content"),
    ):
        with pytest.raises(ConfigErrors) as caught:
            load_config(path)
        assert [one.key for one in caught.value.errors] == [key]


def test_a_byte_order_mark_is_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "bom.toml"
    path.write_bytes(b"\xef\xbb\xbf[router]\nworkers = 2")
    assert load_config(path).router.workers == 2


def test_counts_are_bounded() -> None:
    rules = "".join(f"[[rules]]\nname='r{i}'\nto=['PACS']\n" for i in range(1001))
    assert only(DESTINATION + rules).key == "rules"


LISTENER_TLS = "[listener.tls]\ncertificate='c'\nkey='k'\n"
DESTINATION_TLS = DESTINATION + "[destinations.PACS.tls]\n"
BOUND = "[sources.CT]\ncertificate_names=['ct1']\n"


@pytest.mark.parametrize(
    ("text", "key", "why", "hint"),
    [
        ("[listener]\nplain = false", "listener.plain", "without [listener.tls]", "nobody"),
        (LISTENER_TLS, "listener.tls.ca", "is required", 'client_certificates = "none"'),
        (LISTENER_TLS + "ca='a'\nport=11112", "listener.tls.port", "port of [listener] too", "2762"),
        (LISTENER_TLS + "ca='a'\ncipher_suites=[]", "listener.tls.cipher_suites", "is empty", "1.3"),
        (LISTENER_TLS + "ca='a'\nminimum='1.1'", "listener.tls.minimum", 'must be "1.2" or "1.3"', ""),
        (LISTENER_TLS + "ca='a'\ncipher_suites=['TLS_RSA_WITH_AES_128_CBC_SHA']",
         "listener.tls.cipher_suites[0]", "must be", ""),
        (LISTENER_TLS + "ca='a'\nporrt=1", "listener.tls.porrt", "is not a setting", "did you mean port?"),
        ("[listener.tls]\nkey='k'\nca='a'", "listener.tls.certificate", "is required", ""),
        (DESTINATION_TLS + "certificate='c'", "destinations.PACS.tls", "go together", "both"),
        (DESTINATION_TLS + "certificate_fingerprints=['ab:cd']",
         "destinations.PACS.tls.certificate_fingerprints[0]", "64 hexadecimal digits", ""),
        (DESTINATION_TLS + "namee='x'", "destinations.PACS.tls.namee", "is not a setting", "name"),
        (BOUND, "sources.CT", "needs TLS", ""),
        (BOUND + LISTENER_TLS + "client_certificates='none'",
         "sources.CT", "needs a certificate", "required"),
    ],
)  # fmt: skip
def test_mistakes_about_tls_have_key_why_and_hint(text: str, key: str, why: str, hint: str) -> None:
    error = only(text)
    assert error.key == key
    assert why in error.why
    assert hint in error.hint


def test_a_fingerprint_is_taken_as_openssl_writes_it() -> None:
    written = ":".join(["AB"] * 32)
    config = parse_config(DESTINATION_TLS + f"certificate_fingerprints = ['{written}']")
    tls = config.destinations["PACS"].tls
    assert tls is not None
    assert tls.certificate_fingerprints == ("ab" * 32,)
    assert Config.restore(config.dump()) == config
