"""What the sync costs. Not tests: pytest collects nothing here.

    python -m tests.benchmarks [NAME...] [--events N] [--repeat 3] [--json FILE]

    bigbrotr  this project and BigBrotr 6.6.9, same relay, same PostgreSQL: events/s, CPU an event, memory
    stages    client CPU an event of each stage alone, and of a sync, as a multiple of their sum
    rtt       rate at round trips of 0, 50, 300 and 900 ms
    overlap   ten relays that share 80% of their events: rate, bytes received per stored event
    memory    resident memory over a million events
    second-day  a week of one relay, with NIP-77 and without: transfers, bytes, requests, CPU an event
    workers   1, 2 and 3 processes side by side, each with a relay of its own, into one PostgreSQL: rate, CPU

Every figure is a median over `--repeat` runs, each in a process of its own, on a fresh database. Relays and
PostgreSQL are started on loopback and stopped again; what takes long to make (signed events, BigBrotr's virtual
environment) is kept in `.benchmarks/`.
"""
