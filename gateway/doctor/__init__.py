"""``passerelle doctor``: what is wrong with this gateway, and which command puts it right (USERS section 3).

It works with the process dead, the disk full and no network: facts come from the gateway's files, from what control
last wrote into ``state/status.json`` or tells at ``admin.sock``, and from trying, all of it bounded in time. Nothing
here changes anything, takes a lock, or prints a key or personal data.

    words.py         times, durations and numbers as people read them
    findings.py      Finding, Level; the codes and what each means
    probes.py        try the registry, peers and adapters, side by side
    case.py          Case: everything the checks look at, gathered once
    clock.py, configuration.py, neighbours.py, processes.py, keys.py, disk.py
                     the checks
    examination.py   which checks there are, in which order
    bundle.py        the file for ASIN
    command.py       ``passerelle doctor``
"""
