# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What a program with a server and a client needs to find its peer."""

import contextlib
import ipaddress
import json
import os
import socket
import subprocess


def ipv4_gid_index():
    """Of the RoCE v2 GID that is a mapped IPv4 address; None if there is none."""
    base = f"/sys/class/infiniband/{os.environ['P2PMR_DEV']}/ports/1"
    for index in sorted(int(name) for name in os.listdir(f"{base}/gids")):
        with contextlib.suppress(OSError, ValueError):
            with open(f"{base}/gid_attrs/types/{index}", encoding="ascii") as file:
                kind = file.read().strip()
            with open(f"{base}/gids/{index}", encoding="ascii") as file:
                gid = ipaddress.IPv6Address(file.read().strip())
            if kind == "RoCE v2" and gid.ipv4_mapped:
                return index
    return None


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def is_listening(port):
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(table, encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "0A":
                    return True
    return False


def cm_is_listening(port):
    """The same of the RDMA CM."""
    answer = subprocess.run(["rdma", "-j", "resource", "show", "cm_id"], check=True,
                            stdout=subprocess.PIPE, text=True).stdout
    return any(entry.get("state") == "LISTEN"
               and entry.get("src-addr", "").endswith(f":{port}")
               for entry in json.loads(answer or "[]"))
