"""The collector of garbage, kept from what stays."""

import gc


def keep_what_is_there() -> None:
    """Take everything that is in memory out of all further collections; for the end of a program's start.

    A full collection looks at every object: with 10,000 VIPs nobody is answered for 70 ms. What a host holds of its
    site has no cycles and stays, so there is nothing to find in it.
    """
    gc.collect()
    gc.freeze()
