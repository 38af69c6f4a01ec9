"""The command line as a whole: commands found, imported late, and ended as a shell expects."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import router
from router import __main__
from router.__main__ import COMMANDS, main, present_commands

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., int]], None]:
    """Return a function that installs a command `probe` which runs the given function."""

    def install(run: Callable[..., int]) -> None:
        module = types.ModuleType("tests_probe")
        module.__dict__.update(configure=lambda parser: parser.add_argument("--number", type=int), run=run)
        module.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
        monkeypatch.setitem(sys.modules, "tests_probe", module)
        monkeypatch.setitem(__main__.COMMANDS, "probe", ("tests_probe", "do nothing"))

    return install


def test_a_command_gets_its_arguments_and_gives_its_status(command: Callable[..., None]) -> None:
    command(lambda args: args.number)
    assert main(["probe", "--number", "7"]) == 7


def test_an_interrupt_is_quiet_and_130(
    command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    command(interrupted)
    assert main(["probe"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["--nonsense"], "unrecognized arguments"),
        (["chek"], "did you mean check?"),
        (["zzz"], "commands: "),
        (["check"], "FILE"),
    ],
)
def test_wrong_use_exits_with_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"dicom-router {router.__version__}\n"


def test_help_lists_the_commands_that_exist_and_no_others(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")} - {
        "-h,"
    }
    present = {name for name in COMMANDS if (ROOT / f"router/apps/{name}.py").exists()}
    assert listed - {"--version"} == present == set(present_commands())


@pytest.mark.parametrize("name", present_commands())
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: dicom-router {name}" in capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "router", "check", "deploy/router.example.toml"],
            cwd=ROOT, stdout=gone, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")


def test_a_terminal_without_utf_8_is_no_reason_to_fail(tmp_path: Path) -> None:
    path = tmp_path / "Grüße.toml"
    path.write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "router", "check", str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_checking_a_file_imports_neither_pydicom_nor_the_event_loop() -> None:
    program = (
        "import sys; from router.__main__ import main; main(['check', 'deploy/router.example.toml']);"
        "print([m for m in ('pydicom', 'asyncio', 'uvloop', 'aiohttp', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
