"""Twenty fixed persons and what they own, run and work at (``docs/personnes-de-test.md``): first in every list.

Where something must hold on a day (a permit, a notice, a certificate), it holds until 2099: a sandbox does not grow old.
"""
