"""Foreign configuration of any form to manifests that were judged before anybody sees them."""

import re
from dataclasses import replace
from enum import StrEnum

from appliance.api.problem import Problem
from appliance.config.compile import compile_config
from appliance.convert.keepalived import from_keepalived
from appliance.convert.metallb import NAMESPACE, from_data, from_manifests
from appliance.convert.model import Conversion

_KEEPALIVED = re.compile(r"^\s*(?:vrrp_instance|virtual_server|global_defs)\b", re.MULTILINE)


class Form(StrEnum):
    """What a text is."""

    MANIFEST = "manifest"
    DATA = "data"
    KEEPALIVED = "keepalived"


def form_of(text: str) -> Form:
    """What a text looks like: keepalived's configuration or manifests."""
    return Form.KEEPALIVED if _KEEPALIVED.search(text) else Form.MANIFEST


def convert_text(text: str, file: str, form: Form, namespace: str = NAMESPACE) -> Conversion:
    """Convert one text; what is wrong with the outcome counts as much as what is wrong with the text."""
    match form:
        case Form.MANIFEST:
            conversion = from_manifests(text, file, namespace)
        case Form.DATA:
            conversion = from_data(text, file, namespace)
        case Form.KEEPALIVED:
            conversion = from_keepalived(text, file, namespace)
    return conversion if conversion.problems else replace(conversion, problems=_judged(conversion))


def _judged(conversion: Conversion) -> tuple[Problem, ...]:
    problems = compile_config(conversion.manifests).problems
    return tuple(replace(problem, text=f"would be written, but {problem.text}") for problem in problems)
