"""Parsing of handles: one canonical form, and errors that name the wrong part."""

import pytest

from headstart.bases import Handle, load_base, parse_handle
from headstart.errors import InputError


@pytest.mark.parametrize(
    ("text", "handle"),
    [
        ("keras:Xception", Handle("keras", "Xception")),
        ("embedded:efficientnet-lite0", Handle("embedded", "efficientnet-lite0")),
        ("keras:MobileNetV2?alpha=0.35", Handle("keras", "MobileNetV2", (("alpha", 0.35),))),
        ("keras:M?minimalistic=True&alpha=1", Handle("keras", "M", (("minimalistic", True), ("alpha", 1)))),
        ("keras:M?mode=wide", Handle("keras", "M", (("mode", "wide"),))),
        ("file:models/what?.keras", Handle("file", "models/what?.keras")),
        ("file:C:\\models\\my.keras", Handle("file", "C:\\models\\my.keras")),
        ("file:/a b/ü.keras", Handle("file", "/a b/ü.keras")),
    ],
)
def test_parse_and_print(text, handle):
    assert parse_handle(text) == handle
    assert str(handle) == text
    assert parse_handle(str(handle)) == handle


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Xception", r"'Xception' is not a base handle.*Did you mean 'keras:Xception'"),
        ("models/my.keras", r"'models/my.keras' is not a base handle.*Did you mean 'file:models/my.keras'"),
        ("my.keras", r"Did you mean 'file:my.keras'"),
        ("models/yolov4.cfg", r"Did you mean 'yolo:models/yolov4.cfg'"),
        ("kers:Xception", r"unknown source 'kers' in base handle 'kers:Xception'.*Did you mean 'keras'"),
        ("C:\\models\\my.keras", r"unknown source 'C'"),
        ("keras:", r"'keras:' has no name after the colon"),
        ("keras:?alpha=1", r"'keras:\?alpha=1' has no name"),
        ("keras:M?alpha", r"cannot read the option 'alpha' in base handle 'keras:M\?alpha': expected name=value"),
        ("keras:M?alpha=", r"cannot read the option 'alpha='"),
        ("keras:M?=1", r"cannot read the option '=1'"),
        ("keras:M?a-b=1", r"cannot read the option 'a-b=1'"),
        ("", r"'' is not a base handle"),
    ],
)
def test_invalid_handles_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_handle(text)


def test_load_base_accepts_sizes_and_specs():
    base = load_base("keras:MobileNetV2", weights="none", input_size=96)
    assert base.input_size == (96, 96)
    again = load_base(type(base.spec).from_json(base.spec.to_json()))
    assert again.digest == base.digest
    assert load_base("keras:MobileNetV2", weights="none", input_size=(96, 128)).digest != base.digest
