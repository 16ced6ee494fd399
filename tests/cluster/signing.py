"""ServiceAccount tokens that end when a test wants, signed with the control plane's own key."""

import base64
import json
import time

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.cluster.control_plane import ControlPlane


def signed_token(control_plane: ControlPlane, namespace: str, name: str, *, seconds: int) -> str:
    """A token of a ServiceAccount that is there, as TokenRequest would make it but for its short life (RFC 7519).

    The API server takes a token for a minute longer.
    """
    account = json.loads(control_plane.kubectl("get", "serviceaccount", "-n", namespace, name, "-o", "json"))
    now = int(time.time())
    issuer = "https://kubernetes.default.svc"
    claims = {
        "iss": issuer,
        "aud": [issuer],
        "sub": f"system:serviceaccount:{namespace}:{name}",
        "iat": now - 600,
        "nbf": now - 600,
        "exp": now + seconds,
        "kubernetes.io": {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
        },
    }
    head = f"{_encoded({'alg': 'RS256', 'typ': 'JWT'})}.{_encoded(claims)}"
    key = serialization.load_pem_private_key((control_plane.folder / "sa.key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return f"{head}.{_base64(key.sign(head.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _encoded(content: object) -> str:
    return _base64(json.dumps(content).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
