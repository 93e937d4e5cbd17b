"""Routes that leave an engine no address range for a network."""

from __future__ import annotations

from ipaddress import IPv4Network

from contextcore_install.system.machine import routes, taker_of_pools

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
HOME = (
    "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"  # default by 192.168.1.1
    "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"  # 192.168.1.0/24
    "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"  # 172.17.0.0/16
)
#: What OpenVPN adds for redirect-gateway def1.
OPENVPN = (
    "tun0\t00000000\t0108080A\t0003\t0\t0\t0\t00000080\t0\t0\t0\n"  # 0.0.0.0/1
    "tun0\t00000080\t0108080A\t0003\t0\t0\t0\t00000080\t0\t0\t0\n"  # 128.0.0.0/1
)
COMPANY = (
    "wg0\t000010AC\t00000000\t0001\t0\t0\t0\t0000F0FF\t0\t0\t0\n"  # 172.16.0.0/12
    "wg0\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"  # 192.168.0.0/16
)


def test_routes_are_read_without_the_default() -> None:
    assert list(routes(HEAD + HOME)) == [
        ("eth0", IPv4Network("192.168.1.0/24")),
        ("docker0", IPv4Network("172.17.0.0/16")),
    ]


def test_a_vpn_that_takes_all_ranges_is_named() -> None:
    assert taker_of_pools(HEAD + HOME) == ""
    assert taker_of_pools(HEAD + HOME + OPENVPN) == "tun0"
    assert taker_of_pools(HEAD + HOME + COMPANY) == "wg0"
    assert taker_of_pools(HEAD + HOME + COMPANY.splitlines()[0]) == "", "there is one of the others left"


def test_what_is_no_table_has_no_routes() -> None:
    assert taker_of_pools("") == ""
    assert taker_of_pools(HEAD + "eth0\n\n") == ""
