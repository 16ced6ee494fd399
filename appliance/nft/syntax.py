"""The pieces nftables text is made of, in the forms that nft 1.0.6 reads: one statement on a line, no empty braces."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from appliance.nft.model import Choice

TABLE = "pierhead"
BUCKET_SEED = 0x70696572  # the same on every host
TARGET_SEED = 0x68656164  # another one, so that a host's share of the buckets spreads over all its targets


def table(family: str, blocks: Iterable[str]) -> str:
    """A table that replaces whatever stood under its name, in one transaction with its fellows."""
    name = f"{family} {TABLE}"
    return f"table {name}\ndelete table {name}\ntable {name} {{\n" + "\n".join(blocks) + "\n}\n"


def _block(kind: str, name: str, lines: Iterable[str]) -> str:
    body = "".join(f"\t\t{line}\n" for line in lines)
    return f"\t{kind} {name} {{\n{body}\t}}"


def chain(name: str, lines: Iterable[str]) -> str:
    """A chain of statements."""
    return _block("chain", name, lines)


def counter(name: str) -> str:
    """A named counter."""
    return _block("counter", name, ())


def set_of(name: str, key: str, elements: Iterable[str]) -> str:
    """A named set, which may be empty; `key` is a type clause."""
    return _collection("set", name, key, elements)


def verdict_map(name: str, key: str, elements: Iterable[str]) -> str:
    """A named map to verdicts, which may be empty; `key` is a type or typeof clause."""
    return _collection("map", name, f"{key} : verdict", elements)


def _collection(kind: str, name: str, key: str, elements: Iterable[str]) -> str:
    written = ",\n\t\t\t".join(elements)
    return _block(kind, name, [key, f"elements = {{ {written} }}"] if written else [key])


@lru_cache(maxsize=8192)
def name_of(choice: Choice) -> str:
    """A short name that is the same for the same choice, on every host and at all times."""
    return hashlib.blake2b("\n".join(host or "" for host in choice).encode(), digest_size=6).hexdigest()


@lru_cache(maxsize=8192)
def choice_map(name: str, choice: Choice, me: str) -> str:
    """The map of a choice: bucket to the chain that sends to its host; a bucket of this host's own is not in it."""
    sent = (f"{bucket} : goto {send_chain(host)}" for bucket, host in enumerate(choice) if host and host != me)
    return verdict_map(name, f"typeof numgen inc mod {len(choice)}", sent)


def send_chain(host: str) -> str:
    """The name of the chain that sends to a host."""
    return f"to_{host}"
