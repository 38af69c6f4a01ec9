"""The work of one measurement: what is sent, over how many associations, how fast, for how long."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path

from router.bench.hot import WINDOW_MAX
from router.bench.instances import Template
from router.bench.kinds import add_kinds, chosen


@dataclass(frozen=True, slots=True)
class Work:
    """The fields are the sender's options, by their names; see add_work for what they mean."""

    kind: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    associations: int = 4
    window: int = 1
    rate: float = 0.0
    count: int = 0
    duration: float = 0.0
    called: str = "ANY-SCP"
    calling: str = "LOAD"
    maximum_length: int = 1 << 18
    timeout: float = 60.0

    @classmethod
    def of(cls, options: argparse.Namespace) -> Work:
        """Take the work out of parsed options."""
        found = {field.name: getattr(options, field.name) for field in fields(cls)}
        return cls(**{**found, "kind": tuple(options.kind), "files": tuple(options.files)})

    def words(self) -> list[str]:
        """Return the options as they stand on the sender's command line."""
        said = self.kind_words()
        for field in fields(self)[2:]:
            said += ["--" + field.name.replace("_", "-"), str(getattr(self, field.name))]
        return said

    def kind_words(self) -> list[str]:
        """Return the options that say what is sent, which a sink understands too."""
        said = ["--kind", *self.kind] if self.kind else []
        return said + (["--files", *map(str, self.files)] if self.files else [])

    def templates(self) -> list[Template]:
        """Return what is sent, in turn."""
        return chosen(argparse.Namespace(kind=self.kind, files=self.files))

    def describe(self) -> str:
        """Say it in one line."""
        templates = self.templates()
        sizes = sorted(len(one.dataset) for one in templates)
        size = f"{sizes[0]:,}" if len(set(sizes)) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        what = " + ".join(dict.fromkeys(one.name for one in templates)) if len(templates) < 5 else "files"
        pace = f"{self.rate:,.0f}/s asked" if self.rate else "closed loop"
        return f"{what} ({size} bytes), {self.associations} associations, window {self.window}, {pace}"

    def wrong(self) -> str:
        """Say what is wrong with it, or nothing."""
        if not 0 < self.window <= WINDOW_MAX:
            return f"--window {self.window}, allowed 1..{WINDOW_MAX}"
        if self.associations < 1:
            return f"--associations {self.associations}, at least 1"
        if not self.count and not self.duration:
            return "give --count or --duration"
        return ""


def add_work(parser: argparse.ArgumentParser, *, duration: float = 0.0) -> None:
    """Add the options that say what is sent and how."""
    add_kinds(parser)
    parser.add_argument("--associations", type=int, default=4, help="default 4")
    parser.add_argument(
        "--window", type=int, default=1, help="operations under way on each, if the peer grants it; default 1"
    )
    parser.add_argument("--rate", type=float, default=0.0, help="instances/s in all; 0 = as fast as answered")
    parser.add_argument("--count", type=int, default=0, help="instances in all; 0 = until --duration is over")
    parser.add_argument(
        "--duration", type=float, default=duration, help=f"seconds; 0 = until --count; default {duration:g}"
    )
    parser.add_argument("--called", default="ANY-SCP", help="called AE title")
    parser.add_argument("--calling", default="LOAD", help="calling AE title")
    parser.add_argument(
        "--maximum-length", type=int, default=1 << 18, help="of a P-DATA-TF, announced; 0 = no limit"
    )
    parser.add_argument(
        "--timeout", type=float, default=60.0, help="seconds without any answer before giving up"
    )
