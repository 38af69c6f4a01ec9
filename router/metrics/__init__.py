"""Every metric once, counted in shared pages, read out by the admin process. Floor 4.

`catalogue` names the metrics and lays out a page; `page` is one role index's page of numbers, written
without a system call or a lock; `exposition` merges all pages into the Prometheus text format. The pages
are made by the supervisor and inherited, so counters go on over the restart of the process that counts.
Only `exposition` knows prometheus_client: processes on the data path never load it.
"""
