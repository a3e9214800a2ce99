# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Makes the base classes of rdma-core's own test suite importable, from where Debian
installs it: as documentation, with the larger files compressed."""

import gzip
import ipaddress
import sys
import tempfile
from pathlib import Path

INSTALLED = Path("/usr/share/doc/rdma-core/tests")
# Only these and what they import; the suite's own tests stay out.
MODULES = ("args_parser", "base", "utils", "efa_base", "irdma_base", "mlx5_base",
           "mlx5_prm_structs")

_folder = None


def _content(name):
    plain, packed = INSTALLED / f"{name}.py", INSTALLED / f"{name}.py.gz"
    if plain.exists():
        return plain.read_bytes()
    if packed.exists():
        return gzip.decompress(packed.read_bytes())
    return None


def suite_modules():
    """The names of the suite's own test modules."""
    return sorted({path.name.partition(".")[0] for path in INSTALLED.glob("test_*")})


def make_importable(modules=MODULES):
    """Puts the modules on the path, both as `tests.base` and as `args_parser`."""
    global _folder
    if _folder:
        return
    _folder = tempfile.TemporaryDirectory(prefix="p2pmr-pyverbs-")
    package = Path(_folder.name) / "tests"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in modules:
        content = _content(name)
        if content is not None:
            (package / f"{name}.py").write_bytes(content)
    sys.path[:0] = [str(package), str(package.parent)]


def ipv4_gid_index(device, port=1):
    """Of the RoCE v2 GID that is a mapped IPv4 address; None if there is none."""
    base = Path(f"/sys/class/infiniband/{device}/ports/{port}")
    for entry in sorted((base / "gids").iterdir(), key=lambda path: int(path.name)):
        try:
            gid = ipaddress.IPv6Address(entry.read_text().strip())
            kind = (base / "gid_attrs/types" / entry.name).read_text().strip()
        except OSError:
            continue
        if kind == "RoCE v2" and gid.ipv4_mapped:
            return int(entry.name)
    return None


def configure(device):
    """What the suite's command line would have told it; no device to list tests only."""
    from args_parser import parser
    arguments = []
    if device:
        index = ipv4_gid_index(device)
        if index is None:
            raise SystemExit(f"{device} has no RoCE v2 GID of an IPv4 address")
        arguments = ["--dev", device, "--port", "1", "--gid", str(index)]
    sys.argv[1:] = arguments
    parser.parse_args()
