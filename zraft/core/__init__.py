"""Every decision of zraft, without I/O: no socket, clock, thread, randomness or disk is used in this package.

Read `acceptor` (what storage may accept), `election` (who leads), `replication` (what is committed), `keyspace`
(what a command does), then `proposals` and `reads` (what a gateway may tell its clients).
"""
