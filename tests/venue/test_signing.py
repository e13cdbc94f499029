from __future__ import annotations

import pickle

import pytest

from aegis.errors import Refused
from aegis.venue.signing import Credentials, encode

# Published by Binance (futures and Spot documentation), but the last: the third with a percent-encoded symbol.
VECTORS = [
    (
        "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943",
        "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
    ),
    (
        "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
        "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTCquantity=1&price=9000&recvWindow=5000&timestamp=1591702613943",
        "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4",
    ),
    (
        "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
        "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
    ),
    (
        "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
        "symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
        "e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3",
    ),
]


@pytest.mark.parametrize(("secret", "payload", "signature"), VECTORS)
def test_signing_agrees_with_the_published_vectors(
    secret: str, payload: str, signature: str
) -> None:
    """The signature is what the exchange's own documentation computes."""
    assert Credentials("key", secret).sign(payload.encode()) == signature


def test_signing_covers_the_bytes_that_go_out() -> None:
    """Values are percent-encoded first, then signed, and the signature comes last."""
    credentials = Credentials("key", VECTORS[3][0])
    params = {
        "symbol": "\uff11\uff12\uff13\uff14\uff15\uff16",  # full-width digits, as in the published example
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "price": None,
        "quantity": 1,
    }
    query = credentials.signed(params)
    payload, _, signature = query.rpartition("&signature=")
    assert payload == encode(params)
    assert "price" not in payload
    assert signature == credentials.sign(payload.encode())


def test_credentials_do_not_leak() -> None:
    """A secret is in no representation, and cannot be pickled away."""
    credentials = Credentials("key-1234", "canary-secret")
    assert "canary" not in f"{credentials!r} {credentials}"
    with pytest.raises(Refused):
        pickle.dumps(credentials)


def test_credentials_leave_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once read, the key is gone from the environment that children would inherit."""
    monkeypatch.setenv("BINANCE_API_KEY", "key")
    monkeypatch.setenv("BINANCE_API_SECRET", "secret")
    assert Credentials.from_environment().key == "key"
    with pytest.raises(Refused, match="BINANCE_API_KEY"):
        Credentials.from_environment()
