#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""doctor finds each fault that is planted, and the command that it names mends it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import tool
from tool import NOBODY, OK, SECONDS, WRONG, p2pmr, parameter

DEVICE_FILE = Path("/dev/p2pmr")
MODULES = Path("/lib/modules", os.uname().release)
PROVIDERS = Path("/usr/lib/x86_64-linux-gnu/libibverbs")
CHOICES = Path("/etc/libibverbs.d")


def checks(user=None, status=OK, **more):
    return p2pmr("doctor", "--json", user=user, status=status, **more).document["checks"]


def finding(check, level, word="", user=None):
    """The one finding of that kind that is not as it should be."""
    found = [entry for entry in checks(user, WRONG if level == "fail" else OK)
             if entry["level"] != "ok" and entry["check"] == check and word in entry["text"]]
    assert found and found[0]["level"] == level, found
    # People get the same, in lines that fit; its command must survive that.
    text = p2pmr("doctor", user=user, status=WRONG if level == "fail" else OK).out
    for entry in found:
        if entry["mend"]:
            joined = re.sub(r"( \\)?\n +", " ", text)
            assert entry["mend"] in joined, text
    return found[0]


def has_provider():
    return any(PROVIDERS.glob("libp2pmr-rdmav*.so"))


def is_fine(entry):
    """Where the project is built without the provider, its lack is no fault."""
    return entry["level"] == "ok" or (entry["check"] == "provider" and not has_provider())


def is_well(user=None):
    """All that is wrong, after a while in which the kernel may still be at it."""
    end = time.monotonic() + SECONDS
    while wrong := [entry for entry in try_checks(user) if not is_fine(entry)]:
        if time.monotonic() > end:
            raise AssertionError(f"not mended: {wrong}")
        time.sleep(0.2)


def try_checks(user):
    done = subprocess.run([tool.program(), "doctor", "-j"], stdout=subprocess.PIPE, check=False,
                          env=tool.environment(), **tool.as_user(user))
    return tool.Result(done.returncode, done.stdout.decode(), "").document["checks"]


def mends(check, level, word="", user=None):
    """Finds the fault, does what it is told, as root, and all is well."""
    command = finding(check, level, word, user)["mend"]
    tool.shell(command)
    is_well(user)


@contextmanager
def undone(undo):
    try:
        yield
    finally:
        tool.shell(undo)


def doctor_healthy():
    found = set()
    for entry in checks():
        assert is_fine(entry) and (entry["mend"] is None or entry["check"] == "provider"), entry
        found.add(entry["check"])
    assert {"installed", "loaded", "device-file", "policy", "rdma-device", "bars", "memlock",
            "iommu", "lockdown", "secure-boot"} <= found, found
    end = "nothing is wrong" if has_provider() else "0 failed, 1 warning"
    assert p2pmr("doctor").out.endswith(f"\n{end}\n")


def doctor_not_loaded():
    with undone("modprobe p2pmr_verbs"):
        tool.shell("rmmod p2pmr_verbs p2pmr")
        mends("loaded", "fail", "p2pmr_verbs")
        tool.shell("rmmod p2pmr_verbs")
        mends("loaded", "fail", "p2pmr_verbs")


def doctor_other_build():
    """The loaded module is not the one that modprobe would load, whoever stands on it."""
    data = (MODULES / "updates/p2pmr/p2pmr.ko").read_bytes()
    changed = re.sub(rb"srcversion=(.)", lambda found: b"srcversion=" + (
        b"0" if found[1] != b"0" else b"1"), data)
    assert changed != data
    with tempfile.TemporaryDirectory() as folder, undone("modprobe p2pmr_verbs"):
        file = Path(folder, "p2pmr.ko")
        file.write_bytes(changed)
        for others in ("p2pmr_verbs", "p2pmr_verbs p2pmr_bar"):
            tool.shell(f"modprobe -r p2pmr_verbs && insmod {file} && modprobe -a {others}")
            mends("version", "warn", "the p2pmr ")
        tool.shell("rmmod p2pmr_bar")


def list_without_modules():
    """modprobe's list as it was, after the project's modules have left it."""
    listing = MODULES / "modules.dep"
    kept = listing.read_text(encoding="ascii")
    listing.write_text("\n".join(line for line in kept.splitlines()
                                 if "p2pmr" not in line) + "\n", encoding="ascii")
    return kept


def doctor_not_installed():
    """There are no modules for this kernel."""
    files, away = MODULES / "updates/p2pmr", MODULES / "away"
    kept = list_without_modules()
    files.rename(away)
    try:
        assert finding("installed", "warn")["mend"] == "apt install p2pmr-dkms"
        tool.shell("rmmod p2pmr_verbs p2pmr")
        assert finding("installed", "fail")["mend"] == "apt install p2pmr-dkms"
    finally:
        away.rename(files)
        (MODULES / "modules.dep").write_text(kept, encoding="ascii")
        tool.shell("modprobe p2pmr_verbs")


def doctor_depmod():
    """There are modules, and nobody has told modprobe."""
    kept = list_without_modules()
    try:
        mends("installed", "warn")
    finally:
        (MODULES / "modules.dep").write_text(kept, encoding="ascii")


def doctor_device_file():
    number = DEVICE_FILE.stat().st_rdev
    with undone(f"rm -f {DEVICE_FILE}; mknod -m 666 {DEVICE_FILE} c {os.major(number)} "
                f"{os.minor(number)}"):
        DEVICE_FILE.unlink()
        mends("device-file", "fail")
        assert DEVICE_FILE.stat().st_rdev == number
        DEVICE_FILE.chmod(0o600)
        finding("device-file", "warn")
        with undone(f"chown root {tool.function_file('resource2')}"):
            os.chown(tool.function_file("resource2"), NOBODY, 0)
            mends("device-file", "fail", user=NOBODY)


def doctor_policy():
    with tool.setting(parameter("builtin_exporter"), "N"):
        mends("policy", "fail")
    with tool.setting(parameter("deny"), ",".join(["1af4:1110"] * 20)):
        assert finding("bars", "warn")["mend"] is None


def doctor_rdma_device():
    with undone("rdma link delete rxe0; rdma link add rxe0 type rxe netdev dummy0"):
        tool.shell("rdma link delete rxe0")
        mends("rdma-device", "fail")
        parent = Path("/sys/class/infiniband/rxe0/parent").read_text(encoding="ascii").strip()
        assert parent == "dummy0", f"on {parent}, while another interface is up"


def doctor_netdev():
    restore = ("ip link set dummy0 up; ip address show dev dummy0 | grep -q 192.0.2.1 || "
               "ip address add 192.0.2.1/24 dev dummy0")
    with undone(restore):
        tool.shell("ip link set dummy0 down")
        mends("rdma-port", "fail")
        tool.shell("ip address flush dev dummy0")
        end = time.monotonic() + SECONDS
        while not any(entry["check"] == "rdma-address" for entry in try_checks(None)):
            assert time.monotonic() < end, "the address is still a GID"
            time.sleep(0.2)
        mends("rdma-address", "warn")


def doctor_verbs():
    file = Path("/dev/infiniband/uverbs0")
    number = file.stat().st_rdev
    with undone(f"rm -f {file}; mknod -m 666 {file} c {os.major(number)} {os.minor(number)}; "
                f"chown root {tool.function_file('resource2')}"):
        file.unlink()
        mends("verbs", "fail")
        assert file.stat().st_rdev == number
        file.chmod(0o600)
        os.chown(tool.function_file("resource2"), NOBODY, 0)
        mends("verbs", "fail", user=NOBODY)


def doctor_provider():
    """Missing, unfit, or left to chance."""
    installed = list(PROVIDERS.glob("libp2pmr-rdmav*.so"))
    if not installed:
        assert finding("provider", "warn")["mend"] == "apt install p2pmr-provider"
        return
    provider, = installed
    away = provider.with_suffix(".away")
    provider.rename(away)
    try:
        assert finding("provider", "warn")["mend"] == "apt install p2pmr-provider"
        provider.write_bytes(b"no library")
        assert "--reinstall" in finding("provider", "fail")["mend"]
    finally:
        away.rename(provider)
    with undone(f"rm -f {CHOICES}/p2pmr.driver; dpkg-divert --rename --remove "
                f"{CHOICES}/rxe.driver"):
        shutil.copy("/usr/share/p2pmr/p2pmr.driver", CHOICES)
        mends("provider-choice", "warn")
        choice, = (entry for entry in checks() if entry["check"] == "provider-choice")
        assert "all programs" in choice["text"]


def doctor_disabled():
    path = tool.function_file("enable")
    with undone(f"[ $(cat {path}) -gt 0 ] || echo 1 >{path}"):
        tool.write(path, 0)
        mends("enabled", "warn", tool.function())


def doctor_bar_files():
    with undone(f"chown root {tool.function_file('resource2')}"):
        mends("bar-files", "fail", user=NOBODY)
        assert tool.function_file("resource2").stat().st_uid == NOBODY


@contextmanager
def instead(folder, name, data):
    """Another file system in the place of a folder of sysfs, with one file."""
    with undone(f"umount {folder}"):
        tool.shell(f"mount -t tmpfs none {folder}")
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        yield


def doctor_lockdown():
    function = tool.function()
    with instead("/sys/kernel/security", "lockdown", b"none [integrity] confidentiality\n"), \
            undone(f"echo {function} >/sys/bus/pci/drivers/p2pmr_bar/unbind; "
                   f"echo >{tool.function_file('driver_override')}; rmmod p2pmr_bar"):
        mends("lockdown", "fail")
        assert tool.function_file("driver").resolve().name == "p2pmr_bar"
    with instead("/sys/kernel/security", "lockdown", b"[none] integrity confidentiality\n"):
        is_well()


def doctor_secure_boot():
    name = "efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    with instead("/sys/firmware", name, b"\6\0\0\0\1"):
        text, = (entry["text"] for entry in checks() if entry["check"] == "secure-boot")
        assert "is on" in text
        with tool.without_modules():
            assert "mokutil" in finding("secure-boot", "fail")["mend"]
    with instead("/sys/firmware", name, b"\6\0\0\0\0"), tool.without_modules():
        assert all(entry["level"] == "ok" for entry in checks(status=WRONG)
                   if entry["check"] == "secure-boot")


def doctor_memlock():
    """Of the user's shell, which the command is for."""
    ask = (f"setpriv --reuid {NOBODY} --clear-groups {tool.program()} doctor -j")
    with undone(f"chown root {tool.function_file('resource2')}"):
        os.chown(tool.function_file("resource2"), NOBODY, 0)
        out = subprocess.run(["sh", "-c", f"ulimit -l 64; {ask}; "
                              f"prlimit --pid $$ --memlock=unlimited; {ask}"],
                             stdout=subprocess.PIPE, text=True, check=True,
                             env=tool.environment()).stdout
    before, after = (next(entry for entry in document["checks"] if entry["check"] == "memlock")
                     for document in tool.Result(0, out, "").documents)
    assert before["level"] == "warn" and "64 KiB" in before["text"], before
    assert before["mend"] == "prlimit --pid $$ --memlock=unlimited"
    assert after["level"] == "ok", after


if __name__ == "__main__":
    sys.exit(tool.main((doctor_healthy, doctor_not_loaded, doctor_other_build,
                        doctor_not_installed, doctor_depmod, doctor_device_file, doctor_policy,
                        doctor_rdma_device, doctor_netdev, doctor_verbs, doctor_provider,
                        doctor_disabled, doctor_bar_files, doctor_lockdown, doctor_secure_boot,
                        doctor_memlock),
                       sanitized=(doctor_healthy, doctor_not_loaded, doctor_bar_files)))
