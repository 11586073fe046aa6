"""`make demo`: the failure stories not happening, on the really running parts, told step by step.

__main__.py      sets up, tells each story, takes everything away again
narration.py     numbered steps, command lines, "checked: yes"
cloud.py         one `pumice serve` with a state directory of its own, and what lies beneath it (XML, exports, files)
shell.py         the stock client programs, run as a user would type them
guests.py        guests of the lab image, and what they say from inside
stage.py         all of these together: what a story gets
first_volume.py  a volume in a guest, its snapshots, a guest that writes while snapshots are taken
story_*.py       one file a story
scripts/         small programs for the clients' own Python (python-cinderclient, python-novaclient)
"""
