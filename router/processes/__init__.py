"""The router as processes: supervisor, acceptors, workers and admin. Floor 7.

**Supervisor** (supervisor.py): prepare.py checks, resources.py makes what is shared, launch.py starts the
others; member.py, budget.py and tallies.py are its family, reloading.py is SIGHUP, status.py and notify.py
tell others how it goes. All the others run inside child.py and hear the supervisor over control.py;
affinity.py says on which CPU.
**Acceptor** (acceptor.py): doors.py and pending.py let connections in, admission.py decides who may
associate, incoming.py is one association; what it receives goes to a worker through router/handoff.
**Worker** (worker.py): handling.py is what becomes of one ticket, by way of storing.py (ack = "stored") or
delivering_first.py (ack = "delivered"); forwarding.py and stored_entries.py are the same past Python, in
compiled lanes. owing.py and backlog.py stand between the ledger and router/delivery; pace.py, alternates.py,
duplicates.py and structure_gate.py hold one rule each; watermark.py says how full the spool may get,
gauges.py shows how things stand.
adoption.py, contested.py and damage.py are what a start may find.
**Admin** (admin.py): admin_views.py, admin_queue.py and admin_studies.py are its pages; queries.py carries
their questions to the workers, where queue_verbs.py and study_verbs.py answer.
"""
