"""What messages may not show: credentials, and characters that steer a terminal."""

import pickle

import pytest

from drivable.errors import DataError, printable, shown_address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://host/a.zip", "https://host/a.zip"),
        ("https://host:8080/a@b.zip", "https://host:8080/a@b.zip"),
        ("https://anna:secret@host:8080/a.zip", "https://***@host:8080/a.zip"),
        ("https://secret@host/a.zip", "https://***@host/a.zip"),
        ("https://anna:secret@secret@host/a", "https://***@host/a"),
        ("https://anna:sec/ret@host/a", "https://***@host/a"),
        ("s3://secret:secret@bucket/roads", "s3://***@bucket/roads"),
        ("https://h/a?X-Amz-Signature=secret&X-Amz-Expires=9", "https://h/a?X-Amz-Signature=***&X-Amz-Expires=***"),
        ("https://h/a?secret", "https://h/a?***"),
        ("https://h/a?sig=secret/?@", "https://h/a?sig=***"),
        ("zip://a.zip::https://anna:secret@h/b?token=secret", "zip://a.zip::https://***@h/b?token=***"),
        ("of ftp://u:secret@a/x, http://h/y?key=secret; try", "of ftp://***@a/x, http://h/y?key=***; try"),
        ("drivable evaluate --data 'https://u:secret@h/x?sig=secret' --json a",
         "drivable evaluate --data 'https://***@h/x?sig=***' --json a"),
        ("https://h/a?sig=secret: gone", "https://h/a?sig=***: gone"),
        ("(https://h/a?sig=secret).", "(https://h/a?sig=***)."),
        ("https://h/a#access_token=secret&x", "https://h/a#access_token=***&***"),
        ("https://h/a?a=secret#secret", "https://h/a?a=***#***"),
        ("a folder/what?is=this@place", "a folder/what?is=this@place"),
    ],
)  # fmt: skip
def test_addresses_are_shown_without_credentials(address: str, shown: str) -> None:
    assert shown_address(address) == shown
    assert shown_address(shown) == shown
    assert str(DataError(f"{address}: broken")).startswith(shown)


@pytest.mark.parametrize(
    "text", ["://a" * 50_000, "://?" + "a:" * 50_000, "://x:" * 50_000 + "@", "://" + "a:" * 50_000]
)
def test_hostile_text_takes_no_hours(text: str) -> None:
    assert shown_address(text)


def test_messages_do_not_steer_a_terminal() -> None:
    fault = DataError("a\x1b[2Jb\x07\u202ec\udcff\x9bd\n\u3000é.png: broken", kind="broken")
    assert str(fault) == "a?[2Jb??c??d\n\u3000é.png: broken"
    assert printable(str(fault)) == str(fault)
    again = pickle.loads(pickle.dumps(fault))
    assert (str(again), again.kind) == (str(fault), "broken"), "workers hand faults over"
