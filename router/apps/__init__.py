"""What runs from the command line: one module a command. Floor 8.

The router's own: serve, check, demo, queue, bench (with bench_send, bench_sink, bench_relay). The eight
applications: echoscu, echoscp, storescu, storescp, findscu, getscu, movescu, qrscp (with qr_*). What they
share: arguments.py (options), log.py, peer.py and querying.py (SCUs), serving.py and stored_files.py (SCPs),
dicom_files.py, batches.py, part10.py and sending.py (files to associations), elements.py (`-k`).
"""
