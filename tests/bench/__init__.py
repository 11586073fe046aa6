"""The benchmark: `make bench` (`python -m tests.bench`) prints one table of figures with their goals.

__main__.py      the rounds and the table           ledger.py     figures, percentiles, the table
cases.py         what is measured in a round        machine.py    what it was measured on
client.py        one HTTP client, the events        rest.py       memory and processor time of processes
load.py          many keep-alive connections        usage_audit.py    a million volumes (run by hand)
"""
