# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The virtual machine as a QEMU command line: q35, two PCI functions with a memory BAR,
each behind a root port of its own, a DMA engine, and the ports to talk through."""

import json
from dataclasses import dataclass, field
from pathlib import Path

MEMORY = "2G"
CPUS = 2
# A device that can do DMA to the functions' memory, through the IOMMU.
ENGINE = "edu,addr=1e.0,dma_mask=0xffffffffffffffff"
# A switch with such a device and a function with a BAR below it; another one whose ports
# have ACS, as QEMU's downstream ports have not and its root ports have; and a device below
# a root complex of its own: pairs of functions with other ways between them.
FABRIC = (
    "pcie-root-port,id=switch,bus=pcie.0,chassis=10,slot=10",
    "x3130-upstream,id=upstream,bus=switch",
    "xio3130-downstream,id=downstream0,bus=upstream,chassis=11,slot=0",
    "xio3130-downstream,id=downstream1,bus=upstream,chassis=12,slot=1",
    "edu,bus=downstream0,dma_mask=0xffffffffffffffff",
    "ivshmem-plain,bus=downstream1,memdev=fabric-memory0",
    "pcie-root-port,id=acs-switch,bus=pcie.0,chassis=14,slot=14",
    "x3130-upstream,id=acs-upstream,bus=acs-switch",
    "pcie-root-port,id=acs-downstream0,bus=acs-upstream,chassis=15,slot=0",
    "pcie-root-port,id=acs-downstream1,bus=acs-upstream,chassis=16,slot=1",
    "edu,bus=acs-downstream0,dma_mask=0xffffffffffffffff",
    "ivshmem-plain,bus=acs-downstream1,memdev=fabric-memory1",
    "pxb-pcie,id=other,bus=pcie.0,bus_nr=64",
    "pcie-root-port,id=other-port,bus=other,chassis=13,slot=13",
    "edu,bus=other-port,dma_mask=0xffffffffffffffff",
)
# The guest finds a port by its name, p2pmr.NAME. An interactive guest has a terminal
# (hvc0) in the place of the two streams.
PORTS = ("control", "host")
STREAMS = ("stdout", "stderr")
TERMINAL = "terminal"
# iommu.strict: what is unmapped for a device is out of its reach at once, not soon.
# The watchdog of the TSC compares two clocks that both are emulated, in their own time each:
# on a busy machine it takes the TSC for a bad one, and the kernel then patches its code.
KERNEL_ARGUMENTS = (
    "console=ttyS0,115200 ignore_loglevel panic=-1 oops=panic unknown_nmi_panic=1 "
    "log_buf_len=4M rdinit=/init iommu.strict=1 tsc=nowatchdog"
)


@dataclass
class Firmware:
    """What a machine with UEFI starts from, instead of kernel and initramfs: the firmware's
    code and its variables, which it writes to, and a disk with a boot loader."""

    code: Path
    variables: Path
    disk: Path


@dataclass
class Machine:
    """What differs from one guest to another."""

    vmlinuz: Path
    initramfs: Path
    image: Path
    bars: list
    bar_size: int
    kvm: bool = False
    icount: bool = False
    share: str = ""
    terminal: bool = False
    fabric: bool = False
    cpu: str = ""
    append: str = ""
    slowness: int = 1
    firmware: Firmware | None = None
    channels: dict = field(default_factory=dict)

    def channel_names(self):
        """What QEMU must be given a socket for."""
        streams = (TERMINAL,) if self.terminal else STREAMS
        return ("console", "qmp", *PORTS, *streams)

    def command(self):
        """The command line; channels maps channel_names() to file descriptors."""
        line = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot",
                "-display", "none", "-vga", "none", "-m", MEMORY]
        # Without one vfio-pci takes no function. Before the functions that it serves.
        line += ["-device", "intel-iommu,intremap=off"]
        line += self._accelerator()
        line += self._start()
        line += ["-drive", f"file={_escape(self.image)},format=raw,if=none,id=root,"
                           "snapshot=on,cache=unsafe",
                 "-device", "virtio-blk-pci,drive=root"]
        for name, descriptor in self.channels.items():
            line += ["-chardev", f"socket,id={name},fd={descriptor}"]
        line += ["-serial", "chardev:console", "-mon", "chardev=qmp,mode=control"]
        line += self._ports() + self._functions() + self._shared_folder()
        line += ["-device", ENGINE] + self._fabric()
        return line

    def _start(self):
        if not self.firmware:
            return ["-machine", "q35", "-kernel", str(self.vmlinuz),
                    "-initrd", str(self.initramfs), "-append", self._arguments()]
        # Only code in system management mode may write to the variables, or Secure Boot
        # would be of no worth. The disk must not become the first virtio one, the root.
        return ["-machine", "q35,smm=on",
                "-global", "driver=cfi.pflash01,property=secure,value=on",
                "-drive", f"if=pflash,unit=0,format=raw,readonly=on,"
                          f"file={_escape(self.firmware.code)}",
                "-drive", f"if=pflash,unit=1,format=raw,file={_escape(self.firmware.variables)}",
                "-drive", f"file={_escape(self.firmware.disk)},format=raw,if=none,id=boot,"
                          "snapshot=on",
                "-device", "ide-hd,drive=boot,bootindex=0"]

    def _arguments(self):
        """Where time is made of instructions it leaps ahead while all wait for the disk, by
        minutes if that is slow; nothing hangs then."""
        return arguments("sysctl.kernel.hung_task_timeout_secs=0 " + self.append
                         if self.icount else self.append)

    def _accelerator(self):
        if self.icount:
            return ["-accel", "tcg,thread=single", "-cpu", self.cpu or "max", "-smp", "1",
                    "-icount", "shift=0,sleep=off"]
        if self.kvm and not self.cpu:
            return ["-accel", "kvm", "-cpu", "host", "-smp", str(CPUS)]
        return ["-accel", "tcg,thread=multi", "-cpu", self.cpu or "max", "-smp", str(CPUS)]

    def _ports(self):
        line = ["-device", "virtio-serial-pci,id=ports"]
        if self.terminal:
            line += ["-device", f"virtconsole,bus=ports.0,chardev={TERMINAL}"]
        for name in PORTS + (() if self.terminal else STREAMS):
            line += ["-device", f"virtserialport,bus=ports.0,chardev={name},"
                                f"name=p2pmr.{name}"]
        return line

    def _functions(self):
        line = []
        for number in range(len(self.bars)):
            memory = _memory(self, number)
            function = ",".join(f"{key}={value}"
                                for key, value in _function(number, memory).items())
            line += [
                "-object", json.dumps(memory),
                "-device", f"pcie-root-port,id=port{number},bus=pcie.0,"
                           f"chassis={number + 1},slot={number + 1}",
                "-device", function,
            ]
        return line

    def _fabric(self):
        if not self.fabric:
            return []
        line = []
        for number in range(2):
            line += ["-object", f"memory-backend-ram,id=fabric-memory{number},size=1M,share=on"]
        for device in FABRIC:
            line += ["-device", device]
        return line

    def _shared_folder(self):
        if not self.share:
            return []
        return ["-fsdev", f"local,id=share,path={_escape(self.share)},security_model=none",
                "-device", "virtio-9p-pci,fsdev=share,mount_tag=share"]


class Slots:
    """Hot-plugs the functions of a running machine; the file behind the BAR stays."""

    def __init__(self, machine, monitor):
        self._machine = machine
        self._monitor = monitor
        self._plugged = [0] * len(machine.bars)

    def unplug(self, number):
        self._monitor.command("device_del", id=_id(number))

    def plug(self, number):
        # QEMU 7.2 aborts if a function gets the memory object that one before it had,
        # or one of the same name before it has quite done with the former.
        before = _memory(self._machine, number, self._plugged[number])
        self._plugged[number] += 1
        memory = _memory(self._machine, number, self._plugged[number])
        self._monitor.command("object-del", id=before["id"])
        self._monitor.command("object-add", **memory)
        self._monitor.command("device_add", **_function(number, memory))

    def plugged(self, number):
        devices = self._monitor.command("qom-list", path="/machine/peripheral")
        return any(device["name"] == _id(number) for device in devices)


def arguments(more):
    """The kernel's command line."""
    return f"{KERNEL_ARGUMENTS} {more}".strip()


def _id(number):
    return f"bar{number}"


def _memory(machine, number, generation=0):
    """The memory behind a BAR, in QEMU's words."""
    return {"qom-type": "memory-backend-file", "share": True,
            "id": f"{_id(number)}-memory{generation}",
            "mem-path": str(machine.bars[number]), "size": machine.bar_size}


def _function(number, memory):
    """A function with a BAR, in QEMU's words."""
    return {"driver": "ivshmem-plain", "id": _id(number), "bus": f"port{number}",
            "memdev": memory["id"]}


def _escape(path):
    return str(path).replace(",", ",,")
