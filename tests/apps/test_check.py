"""`dicom-router check`, as its user runs it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from router.__main__ import main
from tests.support.pki import pki

GOOD = """
[destinations.PACS]
ae_title = "PACS"
host = "127.0.0.1"
port = 11113
[[rules]]
name = "ct"
when = { Modality = "CT", calling_ae_title = "CT*" }
to = ["PACS"]
"""


def element(tag: int, vr: str, value: bytes) -> bytes:
    value += b"\x00" * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


def image(modality: bytes) -> bytes:
    meta = element(0x00020002, "UI", b"1.2.840.10008.5.1.4.1.1.2")
    meta += element(0x00020003, "UI", b"1.2.3") + element(0x00020010, "UI", b"1.2.840.10008.1.2.1")
    dataset = element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2") + element(0x00080060, "CS", modality)
    return bytes(128) + b"DICM" + meta + dataset


class Shell:
    """Runs the command and keeps what it said."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._capsys = capsys
        self.out = self.err = ""

    def write(self, name: str, content: str | bytes) -> str:
        path = self.directory / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def check(self, *arguments: str) -> int:
        try:
            status = main(["check", *arguments])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.out + self.err
        return status


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, capsys)


def test_a_good_file_is_ok_and_summed_up(shell: Shell) -> None:
    path = shell.write("good.toml", GOOD)
    assert shell.check(path) == 0
    assert shell.out.splitlines() == [
        f"{path}: ok",
        "  destinations: PACS",
        "  rules: ct",
        "  unmatched: hold",
    ]


def test_oversights_are_noted(shell: Shell) -> None:
    other = '[destinations.OLD]\nae_title = "O"\nhost = "h"\nport = 1\n'
    rule = '[[rules]]\nname = "{}"\nto = ["PACS"]\nstop = true\n'
    assert shell.check(shell.write("a.toml", other + GOOD + rule.format("all") + rule.format("late"))) == 0
    assert "note: no rule names the destination OLD" in shell.out
    assert "note: no instance gets past the rule all (rules[1])" in shell.out
    assert shell.check(shell.write("empty.toml", "")) == 0
    assert "note: without rules, every instance follows unmatched: hold" in shell.out


def test_files_of_tls_are_looked_at(shell: Shell) -> None:
    lines = '[listener.tls]\ncertificate = "{}"\nkey = "{}"\nca = "{}"\n'
    good, expired, ca = pki().router, pki().expired, pki().ca.certificate
    assert shell.check(shell.write("good.toml", GOOD + lines.format(good.certificate, good.key, ca))) == 0
    assert "TLS: port 2762, client certificates required; plain too, on port 11112" in shell.out
    assert f"note: listener.tls.certificate: {good.certificate} expires on" in shell.out
    path = shell.write("old.toml", GOOD + lines.format(expired.certificate, good.key, "/nowhere/ca.crt"))
    assert shell.check(path) == 1
    assert f"listener.tls.certificate: {expired.certificate} has expired on" in shell.out
    assert "listener.tls.ca: /nowhere/ca.crt does not exist (give the whole path" in shell.out
    path = shell.write("mixed.toml", GOOD + lines.format(good.certificate, expired.key, ca))
    assert shell.check(path) == 1
    assert f"listener.tls.key: {expired.key} is not the key of {good.certificate} (" in shell.out


def test_all_mistakes_are_printed_one_a_line(shell: Shell) -> None:
    path = shell.write(
        "bad.toml", GOOD.replace("Modality", "Modalty").replace('to = ["PACS"]', 'to = ["PCS"]')
    )
    assert shell.check(path) == 1
    assert shell.out.splitlines() == [
        f"{path}: rules[0].when.Modalty: is neither an attribute keyword, a tag nor a fact "
        "(did you mean Modality?)",
        f"{path}: rules[0].to[0]: 'PCS' is not a destination (did you mean PACS?)",
        f"{path}: 2 mistakes",
    ]


def test_a_syntax_error_is_one_mistake(shell: Shell) -> None:
    assert shell.check(shell.write("bad.toml", "[router]\nae_title = ROUTER\n")) == 1
    assert "line 2, column 12" in shell.out
    assert shell.out.endswith("1 mistake\n")


def test_files_that_cannot_be_read_are_wrong_use(shell: Shell) -> None:
    assert shell.check(str(shell.directory / "none.toml")) == 2
    assert "no such file" in shell.out
    assert shell.check(str(shell.directory)) == 2
    assert "is a directory" in shell.out


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_wrong_use(shell: Shell) -> None:
    path = shell.write("secret.toml", GOOD)
    Path(path).chmod(0)
    assert shell.check(path) == 2
    assert "permission denied" in shell.out


def test_no_character_of_a_file_steers_the_terminal(shell: Shell) -> None:
    assert shell.check(shell.write("evil.toml", '"a\\u001b[2J" = 1\n[destinations]\n"\\u202Ex" = 5')) == 1
    assert "\x1b" not in shell.out
    assert "\u202e" not in shell.out


def test_explain_says_which_rules_match_why_and_where_it_goes(shell: Shell) -> None:
    config, file = shell.write("good.toml", GOOD), shell.write("ct.dcm", image(b"CT"))
    assert shell.check(config, "--explain", file, "--calling", "CT1") == 0
    assert shell.out.splitlines() == [
        f"{file}: CT Image Storage, transfer syntax 1.2.840.10008.1.2.1",
        "rule ct: matches -> PACS",
        '  yes  Modality: wanted = "CT", got "CT"',
        '  yes  calling_ae_title: wanted like "CT*", got "CT1"',
        "goes to: PACS",
    ]


def test_explain_says_what_did_not_match_and_what_was_not_given(shell: Shell) -> None:
    config, file = shell.write("good.toml", GOOD), shell.write("mr.dcm", image(b"MR"))
    assert shell.check(config, "--explain", file) == 0
    assert shell.out.splitlines()[1:] == [
        "rule ct: does not match",
        '  no   Modality: wanted = "CT", got "MR"',
        '  no   calling_ae_title: wanted like "CT*", got nothing: give --calling',
        "unmatched: no rule matches: held in the spool until it is released",
    ]


def test_explain_says_what_the_sources_make_of_the_sender(shell: Shell) -> None:
    config = shell.write("sources.toml", GOOD + '[sources.CT]\naddresses = ["10.0.0.0/8"]')
    file = shell.write("ct.dcm", image(b"CT"))
    assert shell.check(config, "--explain", file, "--peer", "10.1.1.1") == 0
    assert "source: CT\n" in shell.out
    assert shell.check(config, "--explain", file, "--peer", "11.1.1.1") == 0
    assert "source: unknown; its association would be rejected\n" in shell.out


def test_values_of_an_image_are_printed_harmless_and_short(shell: Shell) -> None:
    config, file = shell.write("good.toml", GOOD), shell.write("evil.dcm", image(b"\x1b[2J\n" + b"x" * 200))
    assert shell.check(config, "--explain", file) == 0
    assert "\x1b" not in shell.out
    assert 'got "\\x1b[2J\\nxxx' in shell.out
    assert "x" * 100 not in shell.out


@pytest.mark.parametrize(
    ("content", "said", "status"),
    [
        (b"", "the file is empty", 1),
        (b"text", "not a DICOM file", 1),
        (image(b"CT")[:180], "file meta information", 1),
        (image(b"CT") + b"\x09\x00\x00\x00??\x00\x00" + bytes(8), "cannot be parsed", 1),
        (None, "no such file", 2),
    ],
)
def test_an_image_that_cannot_be_read_is_said_so(
    shell: Shell, content: bytes | None, said: str, status: int
) -> None:
    config = shell.write("good.toml", GOOD.replace("Modality", "PatientID"))
    file = shell.write("image.dcm", content) if content is not None else str(shell.directory / "none.dcm")
    assert shell.check(config, "--explain", file) == status
    assert said in shell.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "FILE"),
        (["x.toml", "--peer", "10.1.1.1"], "go with --explain"),
        (["x.toml", "--explain", "y", "--peer", "host"], "not an IP address"),
        (["x.toml", "--explain", "y", "--calling", "A" * 17], "at most 16 characters"),
    ],
)
def test_wrong_use_exits_with_2(shell: Shell, arguments: list[str], said: str) -> None:
    assert shell.check(*arguments) == 2
    assert said in shell.err
