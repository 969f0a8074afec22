"""Which addresses a webhook may be sent to: tables of the refused, the allowed, and every odd spelling."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.network.addresses import Allowed, RefusedAddress, judge, judge_name
from shared.network.permissions import Permissions
from shared.network.urls import URL_LIMIT, check_url


def strictly(address: str) -> Allowed | RefusedAddress:
    return judge(address, allow_loopback=False, allow_private=False)


def openly(address: str) -> Allowed | RefusedAddress:
    return judge(address, allow_loopback=True, allow_private=True)


#: First, last or well-known addresses of each range, by whether a permission opens them.
LOOPBACK = """
127.0.0.0 127.0.0.1 127.0.0.53 127.1.2.3 127.255.255.255
::1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:127.255.255.255 0:0:0:0:0:ffff:7f00:0001
""".split()
PRIVATE = """
10.0.0.0 10.0.0.1 10.1.2.3 10.255.255.255
172.16.0.0 172.16.0.1 172.17.0.1 172.31.255.255
192.168.0.0 192.168.0.1 192.168.1.254 192.168.255.255
100.64.0.0 100.64.0.1 100.99.1.1 100.127.255.255
fc00:: fc00::1 fd00::1 fd12:3456:789a:1::1 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
::ffff:10.0.0.1 ::ffff:172.16.0.1 ::ffff:192.168.0.1 ::ffff:100.64.0.1 ::ffff:0a00:0001
""".split()
NEVER = """
0.0.0.0 0.0.0.1 0.1.2.3 0.255.255.255
169.254.0.0 169.254.0.1 169.254.169.254 169.254.170.2 169.254.169.123 169.254.255.255
192.0.0.0 192.0.0.1 192.0.0.8 192.0.0.9 192.0.0.10 192.0.0.170 192.0.0.171 192.0.0.192 192.0.0.255
192.0.2.0 192.0.2.1 192.0.2.255
192.31.196.0 192.31.196.1 192.31.196.255
192.52.193.0 192.52.193.1 192.52.193.255
192.88.99.0 192.88.99.1 192.88.99.255
192.175.48.0 192.175.48.1 192.175.48.255
198.18.0.0 198.18.0.1 198.19.0.1 198.19.255.255
198.51.100.0 198.51.100.1 198.51.100.255
203.0.113.0 203.0.113.1 203.0.113.255
224.0.0.0 224.0.0.1 224.0.0.251 232.1.1.1 233.252.0.1 239.255.255.250 239.255.255.255
240.0.0.0 240.0.0.1 250.1.2.3 255.0.0.1 255.255.255.254 255.255.255.255
100.100.100.200 168.63.129.16 fd00:ec2::254 fd20:ce::254
:: ::2 ::127.0.0.1 ::7f00:1 ::10.0.0.1 ::169.254.169.254 ::8.8.8.8 ::ffff ::ff:ffff
::ffff:0.0.0.0 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe ::ffff:224.0.0.1 ::ffff:255.255.255.255
::ffff:192.0.2.1 ::ffff:198.18.0.1 ::ffff:100.100.100.200 ::ffff:168.63.129.16
::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8 ::fffe:127.0.0.1 ::1:0:0:0
64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::10.0.0.1 64:ff9b::192.168.0.1
64:ff9b::172.16.0.1 64:ff9b::100.64.0.1 64:ff9b::0.0.0.0 64:ff9b::224.0.0.1 64:ff9b::255.255.255.255
64:ff9b::168.63.129.16 64:ff9b:0:0:0:1:808:808 64:ff9b:1:: 64:ff9b:1::8.8.8.8
64:ff9b:1:ffff:ffff:ffff:ffff:ffff
100:: 100::1 100::ffff:ffff:ffff:ffff 100:0:0:1:: 100:0:0:1::1
2001:: 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:0:ffff:ffff:ffff:ffff:ffff:ffff
2001:1::1 2001:1::2 2001:1::3 2001:2:: 2001:2::1 2001:2:0:ffff:ffff:ffff:ffff:ffff
2001:3::1 2001:4:112::1 2001:5::1 2001:10::1 2001:1f:ffff::1 2001:20::1 2001:2f:ffff::1 2001:30::1
2001:3f:ffff::1 2001:100::1 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff
2001:db8:: 2001:db8::1 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff
2002:7f00:1:: 2002:7f00:0001::1 2002:a00:1:: 2002:c0a8:101::1 2002:ac10:1:: 2002:a9fe:a9fe::
2002:6440:1:: 2002:: 2002:e000:1:: 2002:ffff:ffff:: 2002:c000:201::1 2002:a83f:8110::
2620:4f:8000:: 2620:4f:8000::42 2620:4f:8000:ffff:ffff:ffff:ffff:ffff
3ffe::1 3ffe:ffff::1 3fff:: 3fff::1 3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff
4000::1 5f00:: 5f00::1 5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff 6000::1 8000::1 a000::1 e000::1 f000::1
200::1 400::1 1000::1 1fff:ffff::1 fbff::1 fe00::1
fe80:: fe80::1 fe80::a9fe:a9fe febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff fe80::1%eth0 fe80::1%1 ::1%lo
fec0:: fec0::1 feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
ff00:: ff01::1 ff02::1 ff02::fb ff05::2 ff0e::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff
""".split()
#: Public ones, and the neighbours just outside each range. They are judged, never connected to.
PUBLIC = """
1.0.0.1 1.1.1.1 8.8.8.8 9.9.9.9 93.184.215.14 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0
126.255.255.255 128.0.0.1 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255
192.0.1.0 192.0.3.0 192.31.195.255 192.31.197.0 192.52.192.255 192.88.98.255 192.88.100.0 192.167.255.255
192.169.0.0 192.175.47.255 198.17.255.255 198.20.0.0 198.51.99.255 203.0.112.255 203.0.114.0 223.255.255.255
100.100.100.199.. 168.63.129.17
2001:200::1 2001:4860:4860::8888 2003::1 2400:cb00::1 2606:4700:4700::1111 2620:4f:7fff::1 2620:4f:8001::1
2620:fe::fe 2a00:1450:4001::200e 2001:db7:ffff::1 2001:db9::1 3ffd::1 3fff:1000::1
::ffff:8.8.8.8 ::ffff:1.1.1.1 64:ff9b::8.8.8.8 64:ff9b::808:808 2002:808:808::1
""".replace("100.100.100.199..", "").split()
NOT_ADDRESSES = """
localhost example.com 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 127.1 127.0.1 127.0.0.1. 127.0.0.01
0x7f.0x0.0x0.0x1 1.2.3 1.2.3.4.5 256.0.0.1 -1 [::1] ::1::1 :::1 12345::1 1.2.3.4/32 8.8.8.8:80
""".split()


def test_the_table_is_as_long_as_the_bar_asks() -> None:
    assert len(set(LOOPBACK + PRIVATE + NEVER)) >= 150


@pytest.mark.parametrize("address", [*LOOPBACK, *PRIVATE, *NEVER, *NOT_ADDRESSES, "", " 8.8.8.8", "１.1.1.1"])
def test_refused(address: str) -> None:
    verdict = strictly(address)
    assert isinstance(verdict, RefusedAddress)
    assert verdict.reason


@pytest.mark.parametrize("address", [*NEVER, *NOT_ADDRESSES])
def test_refused_whatever_the_operator_allows(address: str) -> None:
    assert isinstance(openly(address), RefusedAddress)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_is_allowed_in_its_canonical_text(address: str) -> None:
    assert strictly(address) == openly(address) == Allowed(str(ipaddress.ip_address(address)))


@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_needs_its_own_permission(address: str) -> None:
    assert isinstance(judge(address, allow_loopback=True, allow_private=False), Allowed)
    assert isinstance(judge(address, allow_loopback=False, allow_private=True), RefusedAddress)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_needs_its_own_permission(address: str) -> None:
    assert isinstance(judge(address, allow_loopback=False, allow_private=True), Allowed)
    assert isinstance(judge(address, allow_loopback=True, allow_private=False), RefusedAddress)


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_itself_and_a_translated_one_is_never_freer(
    address: ipaddress.IPv4Address,
) -> None:
    allowed = isinstance(strictly(str(address)), Allowed)
    number = int(address)
    assert isinstance(strictly(f"::ffff:{address}"), Allowed) is allowed
    assert isinstance(openly(f"64:ff9b::{address}"), Allowed) is allowed
    assert isinstance(openly(f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1"), Allowed) is allowed
    assert isinstance(openly(f"::{address}"), Allowed) is (number == 1)


@given(st.ip_addresses())
def test_what_python_calls_unsafe_is_never_allowed(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    unsafe = address.is_private or address.is_multicast or address.is_reserved or address.is_link_local
    # 6to4 is all private to newer Pythons (3.11.10, 3.12.4, 3.13); here each is judged by the address inside, as above.
    translated = any(address in ipaddress.ip_network(one) for one in ("64:ff9b::/96", "::ffff:0:0/96", "2002::/16"))
    if unsafe and not translated:
        assert isinstance(strictly(str(address)), RefusedAddress)


GOOD_URLS = """
https://example.com https://example.com/ https://example.com:8443/hooks?a=b&c=%20 https://EXAMPLE.com/x
https://example.com./ https://sub_domain.example.com https://xn--bcher-kva.example/ https://8.8.8.8/
https://[2606:4700:4700::1111]/x https://a https://1e100.net https://0x.example https://123.example
HTTPS://example.com https://example.com?x
""".split()
#: Refused with the word that the message must contain.
BAD_URLS = [
    ("http://example.com", "https"),
    ("ftp://example.com", "https"),
    ("file:///etc/passwd", "https"),
    ("gopher://example.com", "https"),
    ("javascript:alert(1)", "https"),
    ("//example.com", "https"),
    ("example.com", "https"),
    ("", "https"),
    ("https://", "host is missing"),
    ("https:///path", "host is missing"),
    ("https://:443/", "host is missing"),
    ("https:example.com", "host is missing"),
    ("https://user@example.com", "user name"),
    ("https://user:secret@example.com", "user name"),
    ("https://@example.com", "user name"),
    ("https://example.com@127.0.0.1/", "user name"),
    ("https://example.com#x", "fragment"),
    ("https://example.com/#", "fragment"),
    ("https://example.com:0/", "port"),
    ("https://example.com:65536/", "port"),
    ("https://example.com:http/", "port"),
    ("https://example.com:-1/", "port"),
    ("https://exam ple.com/", "spaces"),
    ("https://example.com/a b", "spaces"),
    (" https://example.com/", "spaces"),
    ("https://example.com/\r\nX: y", "spaces"),
    ("https://exa\tmple.com/", "spaces"),
    ("https://example.com\\@127.0.0.1/", "spaces"),
    ("https://example.com/\x00", "spaces"),
    ("https://bücher.example/", "ASCII"),
    ("https://①②⑦.⓪.⓪.①/", "ASCII"),
    ("https://127。0。0。1/", "ASCII"),
    ("https://example.com/é", "ASCII"),
    ("https://127%2e0%2e0%2e1/", "invalid host: "),
    ("https://exa%6dple.com/", "invalid host: "),
    ("https://-example.com/", "invalid host: "),
    ("https://example..com/", "invalid host: "),
    ("https://./", "invalid host: "),
    ("https://exa$mple.com/", "invalid host: "),
    ("https://" + "a" * 64 + ".com/", "invalid host: "),
    ("https://" + "a." * 127 + "com/", "invalid host: "),
    ("https://example.com/" + "a" * URL_LIMIT, "longer"),
    ("https://2130706433/", "four decimal"),
    ("https://0x7f000001/", "four decimal"),
    ("https://0x7f.1/", "four decimal"),
    ("https://0X7F.0x1/", "four decimal"),
    ("https://0177.0.0.1/", "four decimal"),
    ("https://017700000001/", "four decimal"),
    ("https://127.1/", "four decimal"),
    ("https://127.0.0.01/", "four decimal"),
    ("https://127.0.0.0x1/", "four decimal"),
    ("https://127.1./", "four decimal"),
    ("https://0/", "four decimal"),
    ("https://0x/", "four decimal"),
    ("https://256.256.256.256/", "four decimal"),
    ("https://1.2.3.4.5/", "four decimal"),
    ("https://127.0.0.1/", "loopback"),
    ("https://127.0.0.1./", "loopback"),
    ("https://[::1]/", "loopback"),
    ("https://[::ffff:7f00:1]:8080/", "loopback"),
    ("https://[0:0:0:0:0:0:0:1]/", "loopback"),
    ("https://10.0.0.1/", "private use"),
    ("https://169.254.169.254/latest/meta-data/", "link local"),
    ("https://[64:ff9b::a9fe:a9fe]/", "NAT64"),
    ("https://[fe80::1%25eth0]/", "zone"),
    ("https://[::1", "invalid host or port"),
    ("https://[example.com]/", "invalid host or port"),
    ("https://[2001:4860::5efe:7f00:1]/", "behind ISATAP"),
    ("https://xn--a/", "invalid internationalized host"),
    ("https://xn--0.com/", "invalid internationalized host"),
    ("https://www.xn--zz9a.com/", "invalid internationalized host"),
    ("https://metadata.google.internal/computeMetadata/v1/", "cloud metadata"),
    ("https://METADATA.google.internal./", "cloud metadata"),
    ("https://kubernetes.default.svc/api", "private network name"),
    ("https://host.docker.internal/", "private network name"),
    ("https://printer.local/", "private network name"),
    ("https://localhost/", "localhost"),
    ("https://LOCALHOST./", "localhost"),
    ("https://foo.localhost/", "localhost"),
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_a_good_url(url: str) -> None:
    check_url(url, Permissions())


@pytest.mark.parametrize(("url", "reason"), BAD_URLS)
def test_a_bad_url_is_told_why(url: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match="url: ") as raised:
        check_url(url, Permissions())
    assert raised.value.param == "url"
    assert reason in raised.value.message
    assert "secret" not in raised.value.message


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost:9/", "http://[::1]/", "http://a.b/"])
def test_loopback_urls_where_the_operator_allows_them(url: str) -> None:
    check_url(url, Permissions(loopback=True))


@pytest.mark.parametrize("url", ["http://10.0.0.1/x", "https://[fd00::1]/", "http://hooks/"])
def test_private_urls_where_the_operator_allows_them(url: str) -> None:
    check_url(url, Permissions(private=True))


@pytest.mark.parametrize("name", ["metadata.google.internal", "metadata.goog.", "a.metadata.google.internal"])
def test_metadata_servers_are_never_opened(name: str) -> None:
    assert isinstance(judge_name(name, allow_loopback=True, allow_private=True), RefusedAddress)


def test_private_names_are_opened_with_private_addresses() -> None:
    assert judge_name("hooks.default.svc", allow_loopback=False, allow_private=True) == Allowed("hooks.default.svc")
    assert judge_name("local.example.com", allow_loopback=False, allow_private=False) == Allowed("local.example.com")


@pytest.mark.parametrize("inner", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"])
@pytest.mark.parametrize("prefix", ["2001:4860:4860::", "2600:1f18:1:2::", "2a00:1450::"])
@pytest.mark.parametrize("universal", ["0000", "0200"])
def test_isatap_is_judged_by_the_address_inside(inner: str, prefix: str, universal: str) -> None:
    number = int(ipaddress.IPv6Address(prefix)) | int(universal, 16) << 48 | 0x5EFE << 32
    address = ipaddress.IPv6Address(number | int(ipaddress.IPv4Address(inner)))
    assert isinstance(openly(str(address)), RefusedAddress)


@given(st.text(max_size=60))
def test_no_text_is_worse_than_a_refusal(text: str) -> None:
    for url in (text, f"https://{text}", f"https://[{text}]/"):
        try:
            check_url(url, Permissions())
        except InvalidRequest as refused:
            assert refused.param == "url"
