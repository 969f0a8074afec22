"""Pictures that are shown to a model: which addresses and data are taken, and which are refused with which status."""

import base64
import os
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest, PayloadTooLarge
from shared.submissions import base64_texts
from shared.submissions.image_inputs import MOST_BYTES, MOST_PIXELS, checked, measure, unreachable
from shared.submissions.schemas import read_submission
from tests.pictures import data_url, gif, jpeg, png, segment, webp

CANARY = "canary-7fe2"


def ask(url: str) -> str:
    """The address that a request with this picture hands on."""
    content = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": content}]}
    return str(read_submission("chat.completion", body).request["messages"][0]["content"][1]["image_url"]["url"])


MEASURED = [
    (png(640, 480), "image/png", (640, 480)),
    (png(2**31 - 1, 1), "image/png", (2**31 - 1, 1)),
    (jpeg(640, 480), "image/jpeg", (640, 480)),
    (jpeg(65535, 65535, marker=0xC2), "image/jpeg", (65535, 65535)),
    (jpeg(8, 9, before=segment(0xE1, b"Exif\0\0" + jpeg(160, 120))), "image/jpeg", (8, 9)),
    (jpeg(8, 9, before=segment(0xC4, b"\0" * 30) + segment(0xDB, b"\0" * 65) + b"\xff\xff\xff"), "image/jpeg", (8, 9)),
    (gif(640, 480), "image/gif", (640, 480)),
    (webp(16384, 16384), "image/webp", (16384, 16384)),
    (webp(640, 480, kind=b"VP8L"), "image/webp", (640, 480)),
    (webp(640, 480, kind=b"VP8 "), "image/webp", (640, 480)),
]


@pytest.mark.parametrize(("content", "media_type", "size"), MEASURED, ids=range(len(MEASURED)))
def test_a_picture_is_measured_by_its_header(content: bytes, media_type: str, size: tuple[int, int]) -> None:
    assert measure(content) == (media_type, size)


@pytest.mark.parametrize("content", [row[0] for row in MEASURED], ids=range(len(MEASURED)))
def test_a_picture_that_is_cut_short_is_never_more_than_unreadable(content: bytes) -> None:
    for end in range(len(content)):
        _, size = measure(content[:end])
        assert size is None or size == measure(content)[1]


@given(st.sampled_from([row[0] for row in MEASURED]), st.binary(max_size=40), st.integers(0, 60))
def test_no_bytes_break_the_measuring(content: bytes, noise: bytes, at: int) -> None:
    measure(content[:at] + noise + content[at + len(noise) :])
    measure(noise)


@pytest.mark.parametrize("content", [png(), jpeg(), gif(), webp(), webp(kind=b"VP8L"), webp(kind=b"VP8 ")])
def test_pictures_of_each_format_are_taken(content: bytes) -> None:
    media_type, _ = measure(content)
    url = data_url(content, media_type)
    assert ask(url) == url


@pytest.mark.parametrize("said", ["image/jpg", "IMAGE/JPEG", "image/gif", "image/png;charset=utf-8", "image/png; x=1"])
def test_the_media_type_that_is_handed_on_is_the_contents(said: str) -> None:
    assert ask(data_url(jpeg(), said).replace("data:", "DATA:")) == data_url(jpeg(), "image/jpeg")


@pytest.mark.parametrize(
    "url",
    ["https://pictures.example/a.png", "HTTPS://Pictures.Example/a", "https://pictures.example:8443/@a?b=@c%20d#@",
     "https://[2001:db8::1]/a", "https://10.0.0.1/a", "https://例え.example/ä", "https://a.example"],
)  # fmt: skip
def test_https_addresses_are_handed_on_untouched(url: str) -> None:
    assert ask(url) == url


@pytest.mark.parametrize(
    "url",
    ["http://pictures.example/a.png", "ftp://pictures.example/a", "file:///etc/passwd", "//pictures.example/a",
     "a.png", "gs://bucket/a", "javascript:alert(1)", "blob:https://a.example/1", "https://", "https:///a",
     "https:// a.example/", "https://a.example/b c", "https://a.example/\nx", "https://a.example/\u200b", "https://[::1",
     "https://a.example:99999/", "https://a.example:x/", "https://" + "a" * 9000, " https://a.example/",
     "data:", "data:,", "data:image/png,AAAA",
     "data:image/png;base64", "data:;base64,AAAA", "data:text/plain;base64,AAAA", "data:image/svg+xml;base64,PHN2Zy8+",
     "data:image/bmp;base64,Qk0=", "data:image/tiff;base64,SUkqAA==", "data:image/heic;base64,AAAA",
     "data:application/pdf;base64,JVBERi0=", "data:image/png;base64,", "data:image/png;base64,!!!!",
     "data:image/png;base64,iVBORw0KGgo", "data:image/png;base64,iVBO Rw0K", "data:image/png;base64,aGVsbG8=",
     "data:image/png;base64,ïVBORw0K", "data:image/png;base64,====", "data:image/png;base64,AAAA=AAA",
     "data:image/png;base64," + base64.b64encode(png()).decode().replace("+", "-").replace("/", "_") + "_",
     data_url(png(0, 5)), data_url(png(5, 0)), data_url(gif(0, 0), "image/gif"), data_url(jpeg(9, 0), "image/jpeg"),
     data_url(png()[:20]), data_url(b"\xff\xd8\xff" * 1000, "image/jpeg"), data_url(b"RIFF\0\0\0\0WAVE", "image/webp"),
     data_url(b"\xff\xd8" + segment(0xE0, b"") * 100_000 + jpeg()[2:], "image/jpeg")],
)  # fmt: skip
def test_what_is_no_picture_is_a_400_that_names_the_place(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ask(url)
    assert refused.value.param == "messages[0].content[1].image_url.url"
    assert refused.value.message.startswith(refused.value.param) and len(refused.value.message) < 300


@pytest.mark.parametrize(
    "url",
    [data_url(png(10_000, 5_001)), data_url(png(2**31, 2**31)), data_url(jpeg(65_535, 65_535), "image/jpeg"),
     data_url(webp(16_384, 16_384), "image/webp"), data_url(gif(65_535, 65_535), "image/gif"),
     data_url(png() + bytes(MOST_BYTES)), "data:image/png;base64," + "A" * 40_000_000],
    ids=range(7),
)  # fmt: skip
def test_a_picture_that_is_too_large_is_a_413_that_names_the_place(url: str) -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        ask(url)
    assert refused.value.param == "messages[0].content[1].image_url.url"


@pytest.mark.parametrize(
    "url",
    ["https://user:s3cret@pictures.example/a", "https://user@pictures.example/a", "https://@a.example/",
     "https://a.example\\@10.0.0.1/", "HTTPS://:s3cret@a.example", "https://a.example:443@b.example/"],
)  # fmt: skip
def test_an_address_with_a_password_is_given_to_nobody(url: str) -> None:
    with pytest.raises(InvalidRequest, match="must not contain a user name or password") as refused:
        ask(url)
    assert refused.value.param == "messages[0].content[1].image_url.url" and "s3cret" not in refused.value.message


UNREACHABLE = {
    "loopback": ["https://127.0.0.1/a", "https://127.8.9.1:8443/", "https://[::1]/", "https://[::ffff:127.0.0.1]/",
                 "https://localhost/a", "https://LOCALHOST./", "https://a.localhost/", "https://127.0.0.1./"],
    "private use": ["https://10.0.0.1/a", "https://172.16.0.9", "https://192.168.1.1:444/", "https://[::ffff:10.0.0.1]"],
    "unique local": ["https://[fd00::1]/"],
    "shared address space": ["https://100.64.0.1/"],
    "link local": ["https://169.254.169.254/latest/meta-data/", "https://[fe80::1]/", "https://169.254.1.1/"],
    "cloud metadata": ["https://metadata.google.internal/computeMetadata/v1/", "https://Metadata.Google.Internal./",
                       "https://metadata/", "https://100.100.100.200/", "https://[fd00:ec2::254]/"],
    "behind": ["https://[64:ff9b::a9fe:a9fe]/", "https://[2002:7f00:1::]/", "https://[2001:4860::5efe:7f00:1]/"],
    "this network": ["https://0.0.0.0/"],
    "private network name": ["https://kubernetes.default.svc/", "https://host.docker.internal/", "https://nas.local/",
                                   "https://vllm/", "https://db.cluster.local:5432/", "https://printer.home.arpa/"],
    "ambiguous host notation": ["https://127.1/", "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://0/",
                     "https://%31%30.0.0.1/", "https://１２７.0.0.1/", "https://ⓛocalhost/", "https://127。0。0。1/",
                     "https://a.example\\.10.0.0.1/", "https://例え.example/"],
}  # fmt: skip


@pytest.mark.parametrize(("why", "url"), [(why, url) for why, urls in UNREACHABLE.items() for url in urls])
def test_what_a_provider_in_our_own_network_may_not_fetch(why: str, url: str) -> None:
    assert ask(url) == url, "others are handed it as it came"
    assert why in unreachable(url)


@pytest.mark.parametrize(
    "url",
    ["https://pictures.example/a.png", "https://8.8.8.8/a", "https://[2606:4700:4700::1111]:8443/", "https://a.example.",
     "https://xn--r8jz45g.example/", "https://a.example/10.0.0.1?u=https://localhost/#127.0.0.1", data_url(png())],
)  # fmt: skip
def test_what_it_may_fetch(url: str) -> None:
    assert unreachable(url) == ""


def test_the_limits_themselves_are_taken() -> None:
    assert ask(data_url(png(10_000, MOST_PIXELS // 10_000)))
    assert ask(data_url(png() + bytes(MOST_BYTES - len(png()))))


def test_a_refusal_repeats_nothing_of_what_was_sent() -> None:
    data = base64.b64encode(CANARY.encode()).decode()
    for url in (
        f"http://{CANARY}/",
        f"data:image/png;base64,{data}",
        f"data:{CANARY};base64,AAAA",
        f"https://{CANARY} /",
    ):
        with pytest.raises(InvalidRequest) as refused:
            ask(url)
        assert CANARY not in refused.value.message and data not in refused.value.message


def test_a_large_picture_costs_little_time_and_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.submissions import image_inputs

    looks: list[int] = []
    real = image_inputs.measure
    monkeypatch.setattr(image_inputs, "measure", lambda content: looks.append(len(content)) or real(content))
    ask(data_url(png() + os.urandom(1_000_000)))
    assert len(looks) == 1
    with pytest.raises(ValueError, match="larger than 20 MB"):
        checked("data:image/png;base64," + "A" * 40_000_000)
    assert len(looks) == 1


@given(st.text(st.sampled_from("AZaz09+/-_= \n\t%2Bé!"), max_size=40))
def test_base64_is_read_or_refused_by_its_place(text: str) -> None:
    try:
        content, canonical = base64_texts.read(text)
    except ValueError as refused:
        assert str(refused).startswith("invalid base64")
    else:
        assert base64.b64decode(canonical, validate=True) == content


@given(st.binary(max_size=60), st.data())
def test_base64_is_the_same_however_it_is_written(content: bytes, data: st.DataObject) -> None:
    canonical = base64.b64encode(content).decode()
    text = canonical.rstrip("=") if data.draw(st.booleans()) else canonical
    if data.draw(st.booleans()):
        text = text.replace("+", "-").replace("/", "_")
    if data.draw(st.booleans()):
        text = quote(text)
    at = data.draw(st.lists(st.integers(0, len(text)), max_size=3)) if "%" not in text else []
    for place in sorted(at, reverse=True):
        text = text[:place] + data.draw(st.sampled_from(["\n", "\r\n", " ", "\t"])) + text[place:]
    assert base64_texts.read(text) == (content, canonical)
