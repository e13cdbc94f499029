from __future__ import annotations

import pytest

from aegis.errors import Rejected
from aegis.sim.credentials import PAPER_KEY, Credentials, signed_payload
from aegis.sim.params import Params

FUTURES = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
SPOT = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
MIXED = b"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
NOW = 1_591_702_613_943

# Published by Binance, except the mixed form, whose published value holds a misprint and was recomputed without it.
VECTORS = [
    (
        FUTURES,
        b"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943",
        b"",
        "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
    ),
    (
        FUTURES,
        MIXED,
        b"quantity=1&price=9000&recvWindow=5000&timestamp=1591702613943",
        "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4",
    ),
    (
        SPOT,
        b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
        b"",
        "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
    ),
    (
        SPOT,
        b"symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
        b"",
        "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
    ),
]


@pytest.mark.parametrize(("secret", "query", "body", "signature"), VECTORS)
def test_signature_equals_published_vectors(
    secret: str, query: bytes, body: bytes, signature: str
) -> None:
    """The signed bytes are query and body as sent, with nothing between them."""
    credentials = Credentials(secret=secret)
    assert credentials.sign(query + body) == signature
    in_query = query + b"&signature=" + signature.upper().encode()
    credentials.check_signature(in_query, body)
    if body:
        credentials.check_signature(query, body + b"&signature=" + signature.encode())


@pytest.mark.parametrize(
    ("query", "body", "expected"),
    [
        (b"a=1&signature=ff", b"", (b"a=1", b"ff")),
        (b"signature=ff&a=1", b"", (b"a=1", b"ff")),
        (b"a=1&signature=ff&b=2", b"c=3", (b"a=1&b=2c=3", b"ff")),
        (b"a=1", b"signature=ff", (b"a=1", b"ff")),
        (b"a=1&designature=ff", b"", (b"a=1&designature=ff", None)),
    ],
)
def test_signature_is_cut_out_wherever_it_stands(
    query: bytes, body: bytes, expected: tuple[bytes, bytes | None]
) -> None:
    """The signature parameter is no part of what was signed."""
    assert signed_payload(query, body) == expected


def test_wrong_signature_is_refused() -> None:
    """One changed byte makes -1022; no signature at all is a missing parameter."""
    credentials = Credentials()
    good = credentials.sign(b"a=1").encode()
    for query, code in ((b"a=2&signature=" + good, -1022), (b"a=1", -1102), (b"signature=", -1102)):
        with pytest.raises(Rejected) as refusal:
            credentials.check_signature(query, b"")
        assert refusal.value.code == code


@pytest.mark.parametrize(
    ("key", "code"), [(None, -2014), ("no key!", -2014), ("x" * 64, -2015), (PAPER_KEY, None)]
)
def test_key_is_checked(key: str | None, code: int | None) -> None:
    """What cannot be a key is -2014, another account's key -2015, both with status 401."""
    if code is None:
        Credentials().check_key(key)
        return
    with pytest.raises(Rejected) as refusal:
        Credentials().check_key(key)
    assert (refusal.value.code, refusal.value.status) == (code, 401)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (f"timestamp={NOW}", None),
        (f"timestamp={NOW + 999}", None),
        (f"timestamp={NOW + 1000}", -1021),
        (f"timestamp={NOW - 5000}", None),
        (f"timestamp={NOW - 5001}", -1021),
        (f"timestamp={NOW - 51}&recvWindow=50", -1021),
        (f"timestamp={NOW // 1000}", -1021),
        ("recvWindow=50", -1102),
        ("timestamp=soon", -1102),
        (f"timestamp={NOW}&recvWindow=60001", -1131),
    ],
)
def test_timestamp_rule(query: str, code: int | None) -> None:
    """A request is taken less than 1000 ms early and at most recvWindow late."""
    params = Params(query.encode(), b"")
    if code is None:
        Credentials.check_time(params, NOW)
        return
    with pytest.raises(Rejected) as refusal:
        Credentials.check_time(params, NOW)
    assert refusal.value.code == code
