# SPDX-License-Identifier: Apache-2.0
"""Each field that only an access logger can tell, beside Envoy's own operator for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from envoy_pyfilter.fields import ONLY_LOGGER

from . import bootstrap as b
from . import tls
from .envoy import Envoy
from .messages import Answer
from .site import Site
from .upstream import Upstream

OPERATORS = {
    "access_log_type": "%ACCESS_LOG_TYPE%",
    "connection_id": "%CONNECTION_ID%",
    "downstream_direct_remote_address": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    "downstream_direct_local_address": "%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "virtual_cluster_name": "%VIRTUAL_CLUSTER_NAME%",
    "request_headers_bytes": "%REQUEST_HEADERS_BYTES%",
    "response_headers_bytes": "%RESPONSE_HEADERS_BYTES%",
    "response_trailers_bytes": "%RESPONSE_TRAILERS_BYTES%",
    "time_to_first_upstream_tx_byte_us": "%COMMON_DURATION(DS_RX_BEG:US_TX_BEG:us)%",
    "time_to_last_upstream_tx_byte_us": "%COMMON_DURATION(DS_RX_BEG:US_TX_END:us)%",
    "time_to_first_upstream_rx_byte_us": "%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)%",
    "time_to_last_upstream_rx_byte_us": "%COMMON_DURATION(DS_RX_BEG:US_RX_END:us)%",
    "time_to_first_downstream_tx_byte_us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG:us)%",
    "time_to_last_downstream_tx_byte_us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "tls_ja3_fingerprint": "%TLS_JA3_FINGERPRINT%",
    "tls_ja4_fingerprint": "%TLS_JA4_FINGERPRINT%",
    "downstream_transport_failure_reason": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
    "downstream_tls_version": "%DOWNSTREAM_TLS_VERSION%",
    "downstream_tls_cipher": "%DOWNSTREAM_TLS_CIPHER%",
    "downstream_tls_session_id": "%DOWNSTREAM_TLS_SESSION_ID%",
    "downstream_local_subject": "%DOWNSTREAM_LOCAL_SUBJECT%",
    "downstream_local_uri_san": "%DOWNSTREAM_LOCAL_URI_SAN%",
    "downstream_local_dns_san": "%DOWNSTREAM_LOCAL_DNS_SAN%",
    "downstream_peer_subject": "%DOWNSTREAM_PEER_SUBJECT%",
    "downstream_peer_issuer": "%DOWNSTREAM_PEER_ISSUER%",
    "downstream_peer_serial": "%DOWNSTREAM_PEER_SERIAL%",
    "downstream_peer_fingerprint_256": "%DOWNSTREAM_PEER_FINGERPRINT_256%",
    "downstream_peer_fingerprint_1": "%DOWNSTREAM_PEER_FINGERPRINT_1%",
    "downstream_peer_uri_san": "%DOWNSTREAM_PEER_URI_SAN%",
    "downstream_peer_dns_san": "%DOWNSTREAM_PEER_DNS_SAN%",
    "downstream_peer_cert_v_start": "%DOWNSTREAM_PEER_CERT_V_START(%s)%",
    "downstream_peer_cert_v_end": "%DOWNSTREAM_PEER_CERT_V_END(%s)%",
    "upstream_request_attempt_count": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "upstream_connection_id": "%UPSTREAM_CONNECTION_ID%",
    "upstream_protocol": "%UPSTREAM_PROTOCOL%",
    "upstream_remote_address": "%UPSTREAM_REMOTE_ADDRESS%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "upstream_wire_bytes_received": "%UPSTREAM_WIRE_BYTES_RECEIVED%",
    "upstream_wire_bytes_sent": "%UPSTREAM_WIRE_BYTES_SENT%",
    "upstream_connection_pool_ready_duration_us": "%UPSTREAM_CONNECTION_POOL_READY_DURATION%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "upstream_tls_version": "%UPSTREAM_TLS_VERSION%",
    "upstream_tls_cipher": "%UPSTREAM_TLS_CIPHER%",
    "upstream_tls_session_id": "%UPSTREAM_TLS_SESSION_ID%",
    "upstream_local_uri_san": "%UPSTREAM_LOCAL_URI_SAN%",
    "upstream_local_dns_san": "%UPSTREAM_LOCAL_DNS_SAN%",
    "upstream_peer_subject": "%UPSTREAM_PEER_SUBJECT%",
    "upstream_peer_issuer": "%UPSTREAM_PEER_ISSUER%",
    "upstream_peer_uri_san": "%UPSTREAM_PEER_URI_SAN%",
    "upstream_peer_dns_san": "%UPSTREAM_PEER_DNS_SAN%",
    "upstream_peer_cert_v_start": "%UPSTREAM_PEER_CERT_V_START(%s)%",
    "upstream_peer_cert_v_end": "%UPSTREAM_PEER_CERT_V_END(%s)%",
}


# What Envoy has no operator for.
FACTS = {
    "downstream_mtls": True,
    "downstream_peer_cert_presented": True,
    "downstream_peer_cert_validated": True,
    "upstream_local_subject": "CN=envoy",
}
NOT_HERE = {"health_check", "trace_sampled"}


def test_the_table_is_whole() -> None:
    """Every field is compared with an operator of Envoy's, or with what is known otherwise."""
    others = {*FACTS, *NOT_HERE, "upstream_peer_fingerprint_256"}
    assert {*ONLY_LOGGER} == {*OPERATORS} | others


@pytest.fixture
def parties(tmp_path: Path) -> list[tls.Party]:
    """Make certificates for the client, Envoy and the upstream."""
    return [tls.party(tmp_path, name, issuer=name) for name in ("client", "envoy", "upstream")]


@pytest.fixture
def server(parties: list[tls.Party]) -> Iterator[tls.TlsUpstream]:
    """Start an upstream with TLS."""
    _, envoy, itself = parties
    started = tls.TlsUpstream(itself, envoy)
    yield started
    started.stop()


def test_tls(
    own_envoy: Callable[..., Envoy],
    upstream: Upstream,
    tmp_path: Path,
    parties: list[tls.Party],
    server: tls.TlsUpstream,
) -> None:
    """With certificates on all sides, each field says what Envoy's own log says."""
    client, envoy, other = parties
    socket = tls.connecting(envoy, other)
    cluster = b.cluster("tls", server.port, http1=True, transport_socket=socket)
    site = Site(own_envoy(clusters=[cluster]).start(), upstream, tmp_path, "tls")
    listener = site.listener(
        [],
        oracle=OPERATORS,
        loggers=[site.logger()],
        routes=[b.route(route={"cluster": "tls"})],
        top={"listener_filters": [tls.inspector()]},
    )
    listener["filter_chains"][0]["transport_socket"] = tls.listening(envoy, client)
    site.reopen(listener)
    assert tls.hello(site.port, client.context(envoy, server=False))
    (told,) = site.oracle()
    (entry,) = site.logged()
    assert {name: as_ours(name, value) for name, value in told.items() if name in OPERATORS} == {
        name: as_envoys(name, entry.get(name)) for name in OPERATORS
    }
    digest = other.certificate.fingerprint(hashes.SHA256()).hex()
    assert {**FACTS, "upstream_peer_fingerprint_256": digest}.items() <= entry.items()


def as_ours(name: str, value: Any) -> Any:
    """Read what Envoy wrote: lists have commas between, and times are text."""
    if name.endswith("_san"):
        return value.split(",")
    if "_cert_v_" in name:
        return int(value)
    return value or None  # an empty text is nothing


def as_envoys(name: str, value: Any) -> Any:
    """Cut what is finer than Envoy's."""
    if name == "upstream_connection_pool_ready_duration_us":
        return value // 1000
    return value or None


def test_plain(new_site: Callable[[], Site], protocol: str) -> None:
    """Without TLS there is none of its fields."""
    site = new_site()
    site.open([], loggers=[site.logger()], oracle=OPERATORS, routes=[b.direct(status=403)])
    site.fetch(protocol)
    (told,) = site.oracle()
    (entry,) = site.logged()
    assert [] == [name for name in entry if "tls" in name or "peer" in name or "local_s" in name]
    assert {name: told[name] or None for name in OPERATORS if "_san" not in name} == {
        name: entry.get(name) or None for name in OPERATORS if "_san" not in name
    }


def test_numbers_of_attempts(new_site: Callable[[], Site], protocol: str) -> None:
    """A request that was tried three times says so."""
    site = new_site()
    retry = {"retry_on": "5xx", "num_retries": 2, "retry_back_off": {"base_interval": "0.001s"}}
    routes = [b.route(route={"cluster": "upstream", "retry_policy": retry})]
    site.open([], loggers=[site.logger()], routes=routes)
    site.fetch(protocol, answer=Answer(status=503))
    (entry,) = site.logged()
    assert (3, 503) == (entry["upstream_request_attempt_count"], entry["response_code"])
