"""The chain in words: a line a link, what it rests on, and at the first broken one what to do."""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum

from appliance.advertise.explain import Gap, LinkVerdict
from appliance.advertise.reason import ServiceReason
from appliance.ipam.reason import Reason
from appliance.ipam.request import Unserved
from appliance.overview.chain import Announcing, ChainLink, Delivering, HostEvidence, Step, first_broken
from appliance.overview.probe import Answer, Answering

_MARKS = {LinkVerdict.HELD: "ok", LinkVerdict.BROKEN: "BROKEN", LinkVerdict.UNKNOWN: "-"}
_HELD = {
    ChainLink.IMPLEMENTATION: "Pierhead serves it",
    ChainLink.POOL: "at least one pool admits it",
    ChainLink.HOST: "at least one host may announce it",
    ChainLink.DELIVERY: "where it arrives it can be received",
    ChainLink.ENDPOINTS: "at least one endpoint can serve",
    ChainLink.ANSWER: "the application answers",
}
_UNKNOWN = {ChainLink.ANSWER: "not asked; --probe asks the application"}

ADVICE: Mapping[Enum, str] = {
    Unserved.NOT_LOAD_BALANCER: "set spec.type of the Service to LoadBalancer",
    Unserved.OTHER_CLASS: (
        "make the Service anew with the spec.loadBalancerClass that the allocator serves (--load-balancer-class; by "
        "default none): the field cannot be changed"
    ),
    Unserved.NO_CLUSTER_IP: "give the Service a cluster address: spec.clusterIP must not be None",
    Unserved.NOT_ENOUGH_CLUSTER_IPS: "set spec.ipFamilyPolicy to PreferDualStack, or give the cluster both families",
    Unserved.UNREADABLE_CLUSTER_IPS: "look at spec.clusterIPs: at most one address of each family can be served",
    Reason.NO_POOLS: "create an IPAddressPool, and an L2Advertisement or a BGPAdvertisement for it",
    Reason.UNKNOWN_POOL: "correct the annotation metallb.io/address-pool (`pierhead pools`), or create the pool",
    Reason.NOT_ADMITTED: "admit the Service by spec.serviceAllocation of the pool, or ask for another pool",
    Reason.NO_ADMITTING_POOL: (
        "ask for a pool by the annotation metallb.io/address-pool, or let one admit the Service: autoAssign, "
        "serviceAllocation"
    ),
    Reason.OUTSIDE_POOLS: "ask for an address of a pool, or add the address to one; `pierhead pools` lists them",
    Reason.BUGGY_ADDRESS: "ask for another address, or set avoidBuggyIPs of the pool to false",
    Reason.IN_USE: (
        "ask for another address, or let both Services share it: the same metallb.io/allow-shared-ip on both, and no "
        "port in common"
    ),
    Reason.OTHER_SHARING_KEY: "use the same metallb.io/allow-shared-ip on all Services of the address",
    Reason.OTHER_BACKENDS: "give all Services of the address one externalTrafficPolicy, and if Local one selector",
    Reason.PORT_TAKEN: "use another port, or another address",
    Reason.RESERVED: "ask for another address, or change the pool's reservation",
    Reason.NOT_RELEASED: "wait: it is given as soon as the Service that had it has let go",
    Reason.QUARANTINED: "wait until its quarantine ends, or ask for another address",
    Reason.UNREADABLE: "find out who wrote the VirtualIP of the address, and correct or delete it",
    Reason.NAME_TAKEN: (
        "delete the VirtualIP where somebody wrote it by hand; else the allocator's log says why the store refuses it"
    ),
    Reason.HOST_ADDRESS: "take the address out of the pool: a host has it",
    Reason.ROUTER_ADDRESS: "take the address out of the pool: a router has it",
    Reason.SUBNET_END: "take the address out of the pool: nobody can be reached at the end of a subnet",
    Reason.OTHER_POOL: "ask for an address of that pool, or for the address alone",
    Reason.SEVERAL_POOLS: "ask for addresses of one pool",
    Reason.WRONG_FAMILY: "ask for addresses of the Service's families, or change spec.ipFamilies",
    Reason.NO_FAMILY: "add addresses of that family to a pool it may use, or ask for another family",
    Reason.SINGLE_STACK: "set spec.ipFamilyPolicy to PreferDualStack or RequireDualStack, or keep one family",
    Reason.EXHAUSTED: "add addresses to a pool; `pierhead vips --pool NAME` shows who holds them",
    Reason.OVER_QUOTA: "delete a Service of the namespace, or raise its quota",
    Gap.NOT_GIVEN_YET: "look whether an allocator runs and leads: kubectl -n pierhead-system get pods,leases",
    Gap.UNREADABLE_REQUEST: "correct the annotation metallb.io/loadBalancerIPs or spec.loadBalancerIP",
    Gap.NO_PEER: "create a BGPPeer, or an L2Advertisement for the pool",
    ServiceReason.NO_ADVERTISEMENT: "create an L2Advertisement or a BGPAdvertisement for the pool",
    ServiceReason.SERVICE_NOT_SELECTED: "change the labels of the Service, or serviceSelectors of an advertisement",
    ServiceReason.SHARED_AND_SELECTED: (
        "take away metallb.io/allow-shared-ip, or serviceSelectors of the L2Advertisement: they cannot go together"
    ),
    ServiceReason.CONFLICTING_ADVERTISEMENTS: "give the BGPAdvertisements of the pool the same localPref",
    ServiceReason.NO_HOST: "start pierhead-agent on a host, with this store in its settings",
    ServiceReason.NO_ELIGIBLE_HOST: "let nodeSelectors or interfaces of an advertisement admit one of these hosts",
    ServiceReason.NO_ENDPOINTS: (
        "look at the Pods: kubectl get pods,endpointslices; spec.selector must match Pods that are ready"
    ),
    Announcing.NOT_TOLD: "look whether an allocator runs and leads: kubectl -n pierhead-system get pods,leases",
    Announcing.FOREIGN_ANSWER: (
        "find that machine by its hardware address in the switch and take the address from it, or take the address out "
        "of the pool"
    ),
    Announcing.SEVERAL_ANSWER: "find out why they do not hear each other: a switch, a VLAN missing on one port",
    Announcing.NOBODY_ANSWERS: (
        "look at the hosts' reasons above; systemctl status pierhead-agent there, and `pierhead status` says what it "
        "waits for"
    ),
    Announcing.SESSIONS_DOWN: "look at `pierhead peers` for the last error, then at the router and the cable",
    Announcing.NO_ROUTE: "look at the hosts' reasons above",
    Announcing.NOT_SERVED: "mend what is broken below",
    Delivering.FAILED: "look at that machine and its cable; layer 2 moves by itself once another host is able to",
    Delivering.ISOLATED: "look at its switch port and VLAN",
    Delivering.AGENT_DOWN: "start it there: systemctl start pierhead-agent",
    Delivering.NO_RULES: "start it there: systemctl start pierhead-forwarder; its log says what the kernel refuses",
    Answering.FAILS: "look at the application's log: the packets arrive, and it answers with an error",
    Answering.REFUSES: "look whether the Pods listen on the Service's targetPort, and on all addresses",
    Answering.SILENT: (
        "look for a NetworkPolicy, a firewall, or answers that take another way back; tcpdump on the owner shows what "
        "arrives"
    ),
    Answering.UNREACHABLE: "look at the routes of this machine: the address is on its link, or behind its router",
    Answering.BREAKS_OFF: "look whether the port speaks HTTP without TLS, and at the application's log",
}


def lines(steps: Sequence[Step]) -> Iterator[str]:
    """The chain as lines, and after the first broken link what to do."""
    for step in steps:
        yield f"  {_MARKS[step.verdict]:<7}{step.link.value:<15}{sentence(step)}".rstrip()
        yield from (f"{'':24}{host_sentence(host)}" for host in step.hosts)
        yield from (f"{'':24}{answer_sentence(answer)}" for answer in step.answers)
    what = advice(steps)
    if what:
        yield f"What to do: {what}"


def advice(steps: Sequence[Step]) -> str:
    """What to do about the first broken link; "" where none is."""
    broken = first_broken(steps)
    return ADVICE[broken.reason] if broken and broken.reason else ""


def sentence(step: Step) -> str:
    """A link as one sentence."""
    at = f"{step.address}: " if step.address else ""
    if step.verdict is LinkVerdict.HELD:
        return at + (step.subject or _HELD.get(step.link, ""))
    if step.refusal is not None:
        return f"{at}{step.refusal}"
    if step.reason is None:
        return _UNKNOWN.get(step.link, "")
    subject = f"{step.subject} " if isinstance(step.reason, Delivering | Answering) else f"{step.subject}: "
    return f"{at}{subject if step.subject else ''}{step.reason.value}"


def host_sentence(found: HostEvidence) -> str:
    """What is known of a host, in one sentence."""
    medium = f" ({found.medium.value})" if found.medium else ""
    return f"{found.host}{medium} {found.state.value}{': ' if found.detail else ''}{found.detail}"


def answer_sentence(answer: Answer) -> str:
    """How a port took a probe."""
    detail = f": {answer.detail}" if answer.detail else ""
    return f"port {answer.port} {answer.outcome.value} after {answer.milliseconds:g} ms{detail}"
