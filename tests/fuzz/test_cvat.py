"""Any XML as CVAT's annotations: read and drawn, or refused in one line."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivable.data.formats.cvat_xml import read_cvat

from .mutations import mutated, outcome

VALID = """<?xml version="1.0" encoding="utf-8"?>
<annotations><meta><task><subset>Train</subset><labels>
<label><name>road</name><color>#fa3253</color><type>any</type></label>
</labels></task></meta>
<image id="0" name="front/0001.jpg" width="12" height="10" subset="Train">
<polygon label="road" points="1.00,2.00;8.00,2.00;8.00,8.00" z_order="2"></polygon>
<mask label="road" rle="1, 3, 1, 1" left="6" top="1" width="3" height="2" z_order="0"></mask>
<box label="road" xtl="1.0" ytl="2.0" xbr="9.0" ybr="9.0" rotation="15.0" z_order="5"></box>
<ellipse label="road" cx="5.0" cy="5.0" rx="3.0" ry="2.0" rotation="45.0" z_order="5"></ellipse>
<points label="road" points="1.00,1.00"></points>
</image></annotations>
"""
VALUES = sorted({part for part in VALID.split('"')[1::2] if part not in ("1.0", "utf-8")})
HOSTILE = st.sampled_from(
    ["", "nan", "inf", "-inf", "1e308", "-1", "0", "1e-320", "9" * 5000, "50000", "..", "../../../escaped", "/tmp/x",
     "a\\b", "a&#10;b", "&#0;", "&a;", "&amp;" * 400, "1,2", "1,2;3,4", "1;2", "nan,1;2,inf;3,3", "5,-1,5",
     "1,1;" * 25_000 + "1,1", "-99999999999999999999", "\u0665"]
)  # fmt: skip
PROLOGS = st.sampled_from(
    [
        "",
        '<?xml version="1.0" encoding="utf-16"?>',
        '<!DOCTYPE a [<!ENTITY a "b">]>',
        "<a>" * 5000,
        "<!-- x -->",
        "<?x?>",
    ]
)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """The valid one with other values."""
    text = VALID
    for _ in range(draw(st.integers(0, 3))):
        text = text.replace(f'"{draw(st.sampled_from(VALUES))}"', f'"{draw(HOSTILE)}"', 1)
    if draw(st.integers(0, 3)) == 0:
        text = text.replace('<?xml version="1.0" encoding="utf-8"?>', draw(PROLOGS))
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16"])))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVABLE_MAX_PIXELS", "100000")


@given(content=documents() | mutated([VALID.encode()]))
def test_any_xml(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "annotations.xml").write_bytes(content)
        found = outcome(lambda: read_cvat(Path(folder) / "annotations.xml"))
    for subset, frame in getattr(found, "frames", ()):
        assert not set(frame.id + subset) & set("/\\\0\n")
        classes = dict.fromkeys(found.colors, 1)
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            drawn = outcome(lambda frame=frame, classes=classes: frame.draw(classes, frame.size, 0))
        assert isinstance(drawn, Exception) or drawn.shape == frame.size
