"""The top-of-rack router's BIRD configuration, and the empty one a host's BIRD starts with."""

from pathlib import Path

from appliance.lab.topology import HOST_ASN, ROUTER, ROUTER_ASN, LabHost, Topology

# 50 ms x 3: what the BFDProfile of the lab's manifests asks of the hosts.
_HEAD = f"""\
log stderr all;
router id 192.168.1.1;

protocol device {{
  scan time 10;
}}

protocol kernel kernel4 {{
  merge paths on limit 64;
  ipv4 {{ import none; export where source = RTS_BGP; }};
}}

protocol kernel kernel6 {{
  merge paths on limit 64;
  ipv6 {{ import none; export where source = RTS_BGP; }};
}}

protocol bfd {{
  interface "eth0" {{
    min rx interval 50 ms;
    min tx interval 50 ms;
    multiplier 3;
  }};
}}

template bgp host4 {{
  local 192.168.1.1 as {ROUTER_ASN};
  direct;
  bfd on;
  hold time 9;
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 1;
  ipv4 {{ import all; export none; }};
}}

template bgp host6 {{
  local 2001:db8:1::1 as {ROUTER_ASN};
  direct;
  bfd on;
  hold time 9;
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 1;
  ipv6 {{ import all; export none; }};
}}
"""

# What a distribution's package leaves: a device protocol without a name, and nothing to announce.
_IDLE = """\
log stderr all;
router id {router_id};

protocol device {{
}}
"""


def router_configuration(topology: Topology) -> str:
    """ECMP over whatever the hosts announce; it never calls first, as a router with many hosts is set up."""
    return _HEAD + "".join(_sessions(host) for host in topology.hosts)


def _sessions(host: LabHost) -> str:
    name = host.name.replace("-", "_")
    return "".join(
        f"\nprotocol bgp {name}_v{address.version} from host{address.version} {{\n"
        f"  neighbor {address.ip} as {HOST_ASN};\n  passive on;\n}}\n"
        for address in (host.ipv4, host.ipv6)
    )


def idle_configuration(host: LabHost) -> str:
    """What a host's BIRD runs until the agent has written its own."""
    return _IDLE.format(router_id=host.ipv4.ip)


def configurations(topology: Topology) -> dict[str, str]:
    """The first BIRD configuration of every machine that runs BIRD."""
    hosts = {host.name: idle_configuration(host) for host in topology.hosts}
    return {ROUTER: router_configuration(topology), **hosts}


def control_socket(directory: Path) -> Path:
    """Where a machine's BIRD listens for birdc."""
    return directory / "bird.ctl"
