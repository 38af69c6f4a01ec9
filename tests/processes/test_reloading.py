from __future__ import annotations

import signal
from pathlib import Path

import pytest

from router.config.load import parse_config
from router.config.reload import compare
from router.processes.reloading import keep_restart_settings, read_config
from tests.processes.harness import RouterProcess


def test_settings_that_need_a_restart_keep_their_values() -> None:
    old = parse_config('[router]\nworkers = 1\nack = "stored"\n[listener]\nport = 0')
    new = parse_config('[router]\nworkers = 3\nack = "delivered"\n[listener]\nport = 11112')
    kept = keep_restart_settings(old, new, compare(old, new))
    assert (kept.router.workers, kept.router.ack, kept.listener.port) == (1, "delivered", 0)
    assert compare(old, kept).restart == []


def test_a_log_level_from_the_command_line_goes_before_the_files(tmp_path: Path) -> None:
    file = tmp_path / "router.toml"
    file.write_text('[log]\nlevel = "error"\nformat = "json"')
    assert read_config(str(file), None).log.level == "error"
    config = read_config(str(file), "debug")
    assert (config.log.level, config.log.format) == ("debug", "json")


@pytest.mark.system
def test_sighup_applies_what_can_be_applied_live(tmp_path: Path) -> None:
    with RouterProcess(tmp_path) as router:
        router.wait_ready()
        text = router.file.read_text()
        router.file.write_text(
            text.replace("port = 11113", "port = 11114").replace("slab_mb = 8", "slab_mb = 16")
        )
        router.process.send_signal(signal.SIGHUP)
        router.wait_for("level=warning", "limits.slab_mb", "next restart")
        line = router.wait_for("reloaded generation=2")
        assert "next_association=destinations.PACS.port restart=limits.slab_mb failed=0" in line
        router.process.send_signal(signal.SIGHUP)
        router.wait_for("nothing to apply", "generation=2")
        router.process.send_signal(signal.SIGTERM)
        assert router.wait_end() == 0


@pytest.mark.system
def test_sighup_with_mistakes_changes_nothing_and_names_each(tmp_path: Path) -> None:
    with RouterProcess(tmp_path) as router:
        router.wait_ready()
        text = router.file.read_text()
        router.file.write_text(text.replace("port = 11113", "port = 0").replace("drain_s", "drane_s"))
        router.process.send_signal(signal.SIGHUP)
        refused = [router.wait_for("reload refused"), router.wait_for("reload refused")]
        assert any("destinations.PACS.port" in line for line in refused)
        assert any("router.drane_s" in line for line in refused)
        router.wait_for("reload refused: 2 errors; generation=1 goes on")
        router.file.write_text(text.replace("[[rules]]", "[[rules]]\nstop = true"))
        router.process.send_signal(signal.SIGHUP)
        router.wait_for("reloaded generation=2 live=rules", "failed=0")


@pytest.mark.system
def test_a_child_that_cannot_apply_a_reload_is_named(tmp_path: Path) -> None:
    with RouterProcess(tmp_path, worker="refuse-reload") as router:
        router.wait_ready()
        router.file.write_text(router.file.read_text().replace("drain_s = 10", "drain_s = 11"))
        router.process.send_signal(signal.SIGHUP)
        router.wait_for("not applied by child=worker-0", "keeps what it has")
        router.wait_for("reloaded generation=2", "failed=1")
