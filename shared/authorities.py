"""Certificate authorities that are trusted beside the system's: for providers, webhooks, and servers over TLS."""

import re
import ssl
from functools import lru_cache
from pathlib import Path

from shared.environment import usual
from shared.settings import Wrong, settings

#: Where a file, or a directory, of authorities is looked for after FUSIONAI_CA_FILE.
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


@lru_cache(maxsize=1)
def more() -> bytes:
    """Certificates of authorities beside the system's, in PEM; empty: none."""
    given = {"FUSIONAI_CA_FILE": settings().ca_file, **usual(*_CA_VARIABLES)}
    name, value = next(((name, value) for name, value in given.items() if value), ("", ""))
    if not value:
        return b""
    try:
        found = b"\n".join(_CERTIFICATE.findall(_read(Path(value)))) + b"\n"
        if found == b"\n":
            raise Wrong(f"{name}: {value} contains no PEM certificate")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found.decode())
    except OSError as error:  # an SSLError too
        raise Wrong(f"{name}: cannot read {value}: {error.strerror or error}") from None
    return found


def trust(context: ssl.SSLContext, more: bytes) -> ssl.SSLContext:
    """The context, trusting these authorities (PEM) as well; none: as it was.

    Python 3.13 refuses certificates without the identifier of their authority's key, which a company's own often lack.
    The workers' client, and Python before, take them: so does this.
    """
    if more:
        context.load_verify_locations(cadata=more.decode())
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _read(path: Path) -> bytes:
    """A file, or all the files of a directory."""
    if not path.is_dir():
        return path.read_bytes()
    return b"\n".join(one.read_bytes() for one in sorted(path.iterdir()) if one.is_file())
