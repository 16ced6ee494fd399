"""What is reported in MetalLB's own kinds."""

from dataclasses import replace

from appliance.api.kind import Kind
from appliance.api.manifest import decode, encode
from appliance.api.meta import Metadata
from appliance.api.metallb import (
    ConditionStatus,
    ConfigurationCondition,
    ConfigurationResult,
    ConfigurationState,
    ConfigurationStateStatus,
    IPAddressPool,
    IPAddressPoolStatus,
)

POOL: dict[str, object] = {"metadata": {"name": "lan"}, "spec": {"addresses": ["192.0.2.0/24"]}}


def test_a_pool_whose_addresses_nobody_counted_says_nothing() -> None:
    """MetalLB's programs write an empty status, and before 0.15 they wrote none."""
    for content in (POOL, {**POOL, "status": {}}):
        assert "status" not in encode(decode(Kind.IP_ADDRESS_POOL, content, strict=True))


def test_a_count_of_none_is_written() -> None:
    """MetalLB's schema requires all four counts."""
    pool = decode(Kind.IP_ADDRESS_POOL, POOL, strict=True)
    counted = IPAddressPoolStatus(assigned_ipv4=0, assigned_ipv6=0, available_ipv4=256, available_ipv6=0)
    assert isinstance(pool, IPAddressPool)
    assert encode(replace(pool, status=counted))["status"] == {
        "assignedIPv4": 0,
        "assignedIPv6": 0,
        "availableIPv4": 256,
        "availableIPv6": 0,
    }


def test_a_condition_is_written_with_every_field_that_is_required() -> None:
    """Also where there is nothing to say."""
    condition = ConfigurationCondition(
        type="poolReconcilerValid",
        status=ConditionStatus.TRUE,
        reason="Reconciled",
        message="",
        last_transition_time="2026-01-01T00:00:00Z",
    )
    state = ConfigurationState(
        metadata=Metadata(name="controller", namespace="metallb-system"),
        status=ConfigurationStateStatus(result=ConfigurationResult.VALID, conditions=(condition,)),
    )
    assert encode(state)["status"] == {
        "result": "Valid",
        "conditions": [
            {
                "type": "poolReconcilerValid",
                "status": "True",
                "reason": "Reconciled",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }


def test_a_report_of_a_newer_metallb_is_read() -> None:
    """Fields nobody knows are passed over in what nobody decides by."""
    content = {"metadata": {"name": "l2-x", "namespace": "metallb-system"}, "status": {"node": "a", "since": "now"}}
    assert encode(decode(Kind.SERVICE_L2_STATUS, content, strict=True))["status"] == {"node": "a"}
