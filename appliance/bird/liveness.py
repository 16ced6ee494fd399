"""Other hosts watched by BFD, as routes in a table that nothing forwards by."""

import re
from collections.abc import Iterator

from appliance.api.address import Family, IPAddress, family_of
from appliance.bird.model import BirdConfig, Watch

_PLAIN_INTERFACE = re.compile(r"[A-Za-z0-9_.:-]+")
_REMARK_MAX = 300


def render_watches(config: BirdConfig) -> Iterator[str]:
    """For each family: a route to each watched host that lives as long as BFD reaches it, given to the kernel."""
    for family in Family:
        chosen = {watch.address: watch for watch in config.watches if _is_of(watch.address, family)}
        if chosen:
            watches = [chosen[address] for address in sorted(chosen, key=int)]
            yield from _family(family, watches, config.kernel_table)


def _family(family: Family, watches: list[Watch], kernel_table: int) -> Iterator[str]:
    name, version = f"watch{family:d}", f"ipv{family:d}"
    yield ""
    yield f"{version} table {name};"
    yield f"protocol static {name}_hosts {{"
    yield f"  {version} {{ table {name}; }};"
    for watch in watches:
        destination = f"{watch.address}/{watch.address.max_prefixlen}"
        yield f"  route {destination} via {_gateway(watch)} bfd; # {_remark(watch.host)}"
    yield "}"
    yield f"protocol kernel {name}_kernel {{"
    yield f"  kernel table {kernel_table};"
    yield f"  {version} {{ table {name}; import none; export all; }};"
    yield "}"


def _gateway(watch: Watch) -> str:
    """The interface is only a help, so one whose name BIRD cannot read as a symbol is left to BIRD to find."""
    plain = _PLAIN_INTERFACE.fullmatch(watch.interface)
    return f"{watch.address}%'{watch.interface}'" if plain else str(watch.address)


def _is_of(address: IPAddress, family: Family) -> bool:
    """Whether an address can be written in a family's table: what stands after % in one may be any text."""
    return family_of(address) is family and "%" not in str(address)


def _remark(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")[:_REMARK_MAX]
