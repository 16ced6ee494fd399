"""What the API server checks of one object before it stores it: rules in CEL, beside the types they are about.

Each says what a parser of this package, or `appliance.config`, says of the same mistake, and none refuses what those
take. Functions are those of Kubernetes 1.31 and later (Kubernetes documentation, "Common Expression Language").
"""

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.api.text import SESSION_PASSWORD_MAX

HOLD_SECONDS_MIN = 3  # RFC 4271 section 4.2
_SECONDS_MAX = 65535


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL expression over `self` that must hold, and the sentence, or CEL expression of it, for where it does not.

    `field` is the part of `self` that the sentence is about, such as `.peerASN`.
    """

    holds: str
    sentence: str
    field: str = ""
    is_expression: bool = False

    def written(self) -> dict[str, object]:
        """The rule as an entry of `x-kubernetes-validations`."""
        said = {"messageExpression" if self.is_expression else "message": self.sentence}
        return {"rule": self.holds, **said, **({"fieldPath": self.field} if self.field else {})}


def _of_self(sentence: str) -> str:
    """A CEL expression of the text in question, in quotes, and a sentence about it."""
    return f"""\"'\" + self + \"' {sentence}\""""


def _is_mapped(text: str) -> str:
    """Whether a text is an IPv4-mapped address, which Kubernetes' functions refuse and Pierhead reads as IPv4."""
    return f"{text}.matches('(?i)^[0:]+:ffff:')"


def _is_address(text: str) -> str:
    return f"(isIP({text}.trim()) || {_is_mapped(text + '.trim()')})"


def _number(text: str) -> str:
    """An IPv4 address as a number."""
    return " + ".join(f"int({text}.split('.')[{index}]) * {256 ** (3 - index)}" for index in range(4))


def _last_group(text: str) -> str:
    """The last 16 bits of an IPv6 address as four digits in lower case."""
    group = f"{text}.substring({text}.lastIndexOf(':') + 1)"
    return f"('0000' + {group}).substring(size({group})).lowerAscii()"


_ENDS = "self.split('-', 2)"
_ARE_ENDS = f"self.contains('-') && {_ENDS}.all(end, isIP(end.trim()))"
_ARE_ALIKE = f"{_ARE_ENDS} && ip({_ENDS}[0].trim()).family() == ip({_ENDS}[1].trim()).family()"
_FIRST, _LAST = f"{_ENDS}[0].trim()", f"{_ENDS}[1].trim()"
_IS_ASCENDING_IPV4 = f"{_number(_FIRST)} <= {_number(_LAST)}"
# CEL cannot count with 128 bits, and to spell an address out costs more than the API server allows for each entry.
_IS_ASCENDING_IPV6 = (
    f"self.contains('.') || !cidr({_FIRST} + '/112').containsIP({_LAST})"
    f" || {_last_group(_FIRST)} <= {_last_group(_LAST)}"
)
_UNREACHABLE = (
    ("127.0.0.0/8", "loopback addresses"),
    ("169.254.0.0/16", "link-local addresses"),
    ("224.0.0.0/4", "multicast addresses"),
    ("fe80::/10", "link-local addresses"),
    ("ff00::/8", "multicast addresses"),
)


def _is_outside(network: str) -> str:
    """Whether neither end of a range, nor the whole of a CIDR, lies in a network."""
    ends = f"!({_ARE_ENDS}) || !{_ENDS}.exists(end, cidr('{network}').containsIP(end.trim()))"
    return f"({ends}) && (!isCIDR(self.trim()) || !cidr('{network}').containsCIDR(self.trim()))"


_RANGE = (
    Rule(
        "self.contains('-') || self.contains('/')",
        _of_self("is neither a CIDR nor a range; write a single address as /32 or /128"),
        is_expression=True,
    ),
    Rule(
        "self.contains('-') || !self.contains('/') || isCIDR(self.trim()) || self.matches('/0[0-9]')",
        _of_self("is not a CIDR"),
        is_expression=True,
    ),
    Rule(
        f"!self.contains('-') || {_ENDS}.all(end, {_is_address('end')})",
        f"""\"'\" + {_ENDS}.filter(end, !{_is_address("end")})[0] + \"' is not an IP address\"""",
        is_expression=True,
    ),
    Rule(
        f"!({_ARE_ENDS}) || ({_ARE_ALIKE})",
        _of_self("begins and ends in different address families"),
        is_expression=True,
    ),
    Rule(
        f"!({_ARE_ALIKE}) || (self.contains(':') ? {_IS_ASCENDING_IPV6} : {_IS_ASCENDING_IPV4})",
        _of_self("ends before it begins"),
        is_expression=True,
    ),
    *(
        Rule(_is_outside(network), f'self + " holds {what} ({network})"', is_expression=True)
        for network, what in _UNREACHABLE
    ),
)
_DURATION = "^(0|(([0-9]+([.][0-9]*)?|[.][0-9]+)(h|ms|m|s|us|µs|ns))+)$"
_UINT16 = "0*([0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_UINT32 = (
    "0*([0-3]?[0-9]{1,9}|4[01][0-9]{8}|42[0-8][0-9]{7}|429[0-3][0-9]{6}|4294[0-8][0-9]{5}|42949[0-5][0-9]{4}"
    "|429496[0-6][0-9]{3}|4294967[01][0-9]{2}|42949672[0-8][0-9]|429496729[0-5])"
)
_COMMUNITY = f"self.matches('^({_UINT16}:{_UINT16}|large:{_UINT32}:{_UINT32}:{_UINT32})$')"
_PASSWORD_SENTENCE = f"a password has at most {SESSION_PASSWORD_MAX} bytes, no double quote and no line end"

TEXT_RULES: Mapping[str, tuple[Rule, ...]] = {
    "address": (Rule(_is_address("self"), _of_self("is not an IP address"), is_expression=True),),
    "address-range": _RANGE,
    "go-duration": (
        Rule(f"self.matches('{_DURATION}')", _of_self("is not a duration such as 90s or 1m30s"), is_expression=True),
    ),
    "community": (
        Rule(_COMMUNITY, _of_self("is not a community such as 64500:100 or large:64500:1:2"), is_expression=True),
    ),
}


def _given(field: str) -> str:
    """Whether a text or number is there and says something."""
    return f"(has(self.{field}) && self.{field} != '')"


def _is_duration(field: str) -> str:
    return f"has(self.{field}) && self.{field}.matches('{_DURATION}')"


def _milliseconds(field: str) -> str:
    return f"duration(self.{field}).getMilliseconds()"


def _is_hold_time(milliseconds: str) -> str:
    in_range = f"({milliseconds} >= {HOLD_SECONDS_MIN * 1000} && {milliseconds} < {(_SECONDS_MAX + 1) * 1000})"
    return f"({milliseconds} < 1000 || {in_range})"


_HOLD_SENTENCE = f"a hold time is 0 or {HOLD_SECONDS_MIN} to {_SECONDS_MAX} seconds"
_HAS_PEER_ASN = "(has(self.peerASN) && self.peerASN != 0)"
_HAS_DYNAMIC_ASN = "has(self.dynamicASN)"
_HAS_SECRET = f"(has(self.passwordSecret) && {_given('passwordSecret.name')})"
_IS_OWN_AS = f"({_HAS_PEER_ASN} && self.peerASN == self.myASN || {_HAS_DYNAMIC_ASN} && self.dynamicASN == 'internal')"
_PEER = "has(self.peerAddress) && isIP(self.peerAddress)"
_PEER_RULES = (
    Rule(f"!{_HAS_PEER_ASN} || !{_HAS_DYNAMIC_ASN}", "cannot stand beside peerASN; write one of them", ".dynamicASN"),
    Rule(f"{_HAS_PEER_ASN} || {_HAS_DYNAMIC_ASN}", "is required where there is no dynamicASN", ".peerASN"),
    Rule(
        f"!has(self.peerAddress) || !{_given('interface')}",
        "cannot stand beside peerAddress; write one of them",
        ".interface",
    ),
    Rule(f"has(self.peerAddress) || {_given('interface')}", "is required where there is no interface", ".peerAddress"),
    Rule(
        "!has(self.interface) || !self.interface.startsWith('-') && !self.interface.matches('[*?]')",
        "is a pattern to BIRD; name one interface",
        ".interface",
    ),
    Rule("!has(self.peerPort) || self.peerPort != 0", "0 is not a port", ".peerPort"),
    Rule(
        f"!has(self.ebgpMultiHop) || !self.ebgpMultiHop || !{_IS_OWN_AS}",
        "is for a peer of another AS, but this peer's is our own",
        ".ebgpMultiHop",
    ),
    Rule(
        f"!({_PEER}) || !ip(self.peerAddress).isUnspecified() && !cidr('224.0.0.0/4').containsIP(self.peerAddress)"
        " && !cidr('ff00::/8').containsIP(self.peerAddress)",
        "is no router's address",
        ".peerAddress",
    ),
    Rule(
        f"!({_PEER}) || !has(self.sourceAddress) || !isIP(self.sourceAddress)"
        " || ip(self.sourceAddress).family() == ip(self.peerAddress).family()",
        "is of another family than the peer's address",
        ".sourceAddress",
    ),
    Rule(
        "!has(self.routerID) || !isIP(self.routerID) || ip(self.routerID).family() == 4",
        "is not an IPv4 address",
        ".routerID",
    ),
    # Of the whole, because a refused text is shown in the answer.
    Rule(
        f"!has(self.password) || size(bytes(self.password)) <= {SESSION_PASSWORD_MAX}"
        " && !self.password.matches('[\"\\n\\r\\x00]')",
        _PASSWORD_SENTENCE,
        ".password",
    ),
    Rule(
        f"!{_given('password')} || !{_HAS_SECRET}", "cannot stand beside password; write one of them", ".passwordSecret"
    ),
    Rule(f"!({_is_duration('holdTime')}) || {_is_hold_time(_milliseconds('holdTime'))}", _HOLD_SENTENCE, ".holdTime"),
    Rule(
        f"has(self.holdTime) || !({_is_duration('keepaliveTime')})"
        f" || {_is_hold_time('3 * ' + _milliseconds('keepaliveTime'))}",
        f"{_HOLD_SENTENCE}, and this is a third of it",
        ".keepaliveTime",
    ),
    Rule(
        f"!({_is_duration('holdTime')}) || !({_is_duration('keepaliveTime')})"
        " || duration(self.keepaliveTime) <= duration(self.holdTime)",
        "is more than the hold time",
        ".keepaliveTime",
    ),
    Rule(
        f"!({_is_duration('connectTime')}) || {_milliseconds('connectTime')} % 1000 == 0"
        f" && {_milliseconds('connectTime')} >= 1000 && {_milliseconds('connectTime')} <= {_SECONDS_MAX * 1000}",
        f"a connect time is 1 to {_SECONDS_MAX} whole seconds",
        ".connectTime",
    ),
)
_NAMED_BY_ADDRESS = Rule(
    "!isIP(self.spec.address) || (ip(self.spec.address).family() == 4 ? self.metadata.name == self.spec.address"
    " : self.metadata.name.matches('^[0-9a-f]{4}(-[0-9a-f]{4}){7}$') && isIP(self.metadata.name.replace('-', ':'))"
    " && ip(self.metadata.name.replace('-', ':')) == ip(self.spec.address))",
    "is not the name of the address in spec.address: IPv4 as it is, IPv6 as eight groups joined by '-'",
    ".metadata.name",
)
_SAME_ADDRESS = Rule("self.address == oldSelf.address", "cannot be changed", ".address")
_OWNER = "self.status.owner"
_OLD_OWNER = "oldSelf.status.owner"
OBJECT_RULES: Mapping[str, tuple[Rule, ...]] = {
    "Requirement": (
        Rule(
            "!(self.operator in ['In', 'NotIn']) || has(self.values) && size(self.values) > 0",
            '"operator " + self.operator + " needs at least one value"',
            ".values",
            is_expression=True,
        ),
        Rule(
            "self.operator in ['In', 'NotIn'] || !has(self.values) || size(self.values) == 0",
            '"operator " + self.operator + " takes no values"',
            ".values",
            is_expression=True,
        ),
    ),
    "BGPAdvertisementSpec": (
        Rule(
            "!has(self.serviceSelectors) || size(self.serviceSelectors) == 0"
            " || self.aggregationLength == 32 && self.aggregationLengthV6 == 128",
            "cannot stand beside an aggregation length: an aggregate attracts traffic of Services not selected",
            ".serviceSelectors",
        ),
    ),
    "BGPPeerSpec": _PEER_RULES,
    "VirtualIP": (
        _NAMED_BY_ADDRESS,
        Rule(
            f"!has(oldSelf.status) || !has({_OLD_OWNER}) || has(self.status) && has({_OWNER})"
            f" && ({_OWNER}.epoch > {_OLD_OWNER}.epoch"
            f" || {_OWNER}.epoch == {_OLD_OWNER}.epoch && {_OWNER}.host == {_OLD_OWNER}.host)",
            "an owner's epoch grows with every owner",
            ".status",
        ),
    ),
    "VirtualIPSpec": (_SAME_ADDRESS,),
    "Backends": (_NAMED_BY_ADDRESS,),
    "BackendsSpec": (_SAME_ADDRESS,),
}
UNCHANGED_FIELDS: Mapping[str, tuple[str, ...]] = {
    "MetalLBServiceL2Status": ("node", "serviceName", "serviceNamespace"),
    "MetalLBServiceBGPStatus": ("node", "serviceName", "serviceNamespace"),
}
UNCHANGED_RULE = Rule("self == oldSelf", "cannot be changed")
