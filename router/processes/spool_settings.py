"""The part of the configuration that the spool needs."""

from __future__ import annotations

from router.config.schema import Config
from router.spool.ledger import LedgerSettings
from router.spool.spool import SpoolSettings
from router.spool.writer_settings import WriterSettings

MB, GB = 1 << 20, 1 << 30


def spool_settings(config: Config) -> SpoolSettings:
    """Return the settings of one worker's spool; the quota is shared among the workers."""
    spool = config.spool
    return SpoolSettings(
        WriterSettings(
            segment_bytes=spool.segment_mb * MB,
            quota_bytes=int(spool.quota_gb * GB) // config.router.workers,
            fsync=spool.fsync,
        ),
        ledger_settings(config),
    )


def ledger_settings(config: Config) -> LedgerSettings:
    """Return the settings of one worker's ledger; nothing is forgotten before its bytes are gone."""
    spool = config.spool
    return LedgerSettings(
        fsync=spool.fsync,
        retention_s=spool.retention_s,
        rows_max=spool.history_max,
        rows_age_s=max(spool.history_s, spool.retention_s),
    )
