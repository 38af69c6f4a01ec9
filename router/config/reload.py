"""What a changed configuration may change in a running router, by each setting's reload class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from router.config.describe import Setting, describe, inner_tables
from router.config.schema import Config
from router.config.section import Section

NAMED_TABLES = ("sources", "destinations")


@dataclass(frozen=True, slots=True)
class ReloadPlan:
    """The keys that changed, by when that counts; an added or removed entry is a key like `sources.CT`."""

    live: list[str] = field(default_factory=list)
    next_association: list[str] = field(default_factory=list)
    restart: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing changed."""
        return not (self.live or self.next_association or self.restart)


def compare(old: Config, new: Config) -> ReloadPlan:
    """List what differs between two configurations.

    Rules change as a whole (key `rules`): their order is their meaning. A new or removed destination is live,
    a new or removed source counts from the next association on.
    """
    plan = ReloadPlan()
    settings = list(describe())
    for table in Config.model_fields:
        if table in NAMED_TABLES:
            _compare_named(table, getattr(old, table), getattr(new, table), settings, plan)
        elif table == "rules":
            if old.rules != new.rules:
                plan.live.append("rules")
        else:
            rows = [setting for setting in settings if setting.table == table]
            _compare_section(table, getattr(old, table), getattr(new, table), rows, plan)
    return plan


def _compare_named(
    table: str, old: dict[str, Section], new: dict[str, Section], settings: list[Setting], plan: ReloadPlan
) -> None:
    changed = plan.live if table == "destinations" else plan.next_association
    rows = [setting for setting in settings if setting.table == f"{table}.NAME"]
    for name in {**old, **new}:
        if name in old and name in new:
            _compare_section(f"{table}.{name}", old[name], new[name], rows, plan)
        else:
            changed.append(f"{table}.{name}")
    if table == "sources" and [*old] != [*new] and {*old} == {*new}:
        changed.append(table)  # the first match counts, so the order is a setting too


def _compare_section(key: str, old: Any, new: Any, rows: list[Setting], plan: ReloadPlan) -> None:
    lists = {"live": plan.live, "next association": plan.next_association, "restart": plan.restart}
    for row in rows:
        if getattr(old, row.name) != getattr(new, row.name):
            lists[row.reload].append(f"{key}.{row.name}")
    for name in inner_tables(type(new)):
        _compare_inner(f"{key}.{name}", getattr(old, name), getattr(new, name), plan)


def _compare_inner(key: str, old: Section | None, new: Section | None, plan: ReloadPlan) -> None:
    """Compare an optional table. A listener that comes or goes needs a restart, a destination's does not."""
    if old is not None and new is not None:
        rows = [setting for setting in describe() if setting.table == _table_of(key)]
        _compare_section(key, old, new, rows, plan)
    elif old is not new:
        (plan.restart if key.startswith("listener.") else plan.next_association).append(key)


def _table_of(key: str) -> str:
    """Return the table's name as in Setting.table: a chosen name is NAME there."""
    table, _, rest = key.partition(".")
    return f"{table}.NAME.{rest.rpartition('.')[2]}" if table in NAMED_TABLES else key
