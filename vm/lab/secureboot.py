# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Starting a guest as a machine with Secure Boot does: firmware that trusts Microsoft's keys,
the shim that these have signed and that trusts Debian's, then Debian's GRUB and kernel. All
of it is in packages of the target's release, which are in a tree of their own."""

import shutil

from lab import cache, packages, qemu
from lab.errors import LabError
from lab.progress import Step

PACKAGES = ("ovmf", "shim-signed", "grub-efi-amd64-signed", "mtools")
CODE = "usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
VARIABLES = "usr/share/OVMF/OVMF_VARS_4M.ms.fd"

# Run with the folder of the disk at /out. GRUB looks for its configuration where Debian's
# installer puts it, the shim for the other two beside itself.
MAKE_DISK = """
disk=/out/boot.img
megabytes=$(($(du -cm /out/vmlinuz /out/initramfs.cpio | tail -n 1 | cut -f 1) + 48))
mformat -C -F -T $((megabytes * 2048)) -i $disk ::
mmd -i $disk ::/EFI ::/EFI/BOOT ::/EFI/debian
mcopy -i $disk /usr/lib/shim/shimx64.efi.signed ::/EFI/BOOT/BOOTX64.EFI
mcopy -i $disk /usr/lib/shim/mmx64.efi.signed ::/EFI/BOOT/mmx64.efi
mcopy -i $disk /usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed ::/EFI/BOOT/grubx64.efi
mcopy -i $disk /out/grub.cfg ::/EFI/debian/
mcopy -i $disk /out/vmlinuz /out/initramfs.cpio ::/
"""
CONFIGURATION = """linux /vmlinuz {arguments}
initrd /initramfs.cpio
boot
"""


def firmware(tree, initramfs, append, variables, folder):
    """What a machine needs to start the tree's kernel with this initramfs. variables: the
    file that the firmware remembers things in, as a new machine has it if there is none."""
    root = packages.release_root(tree.target, "firmware", PACKAGES)
    if not variables.exists():
        cache.replace_file(variables, (root / VARIABLES).read_bytes())
    contents = folder / "boot"
    contents.mkdir()
    shutil.copy(tree.vmlinuz, contents / "vmlinuz")
    shutil.copy(initramfs, contents / "initramfs.cpio")
    configuration = CONFIGURATION.format(arguments=qemu.arguments(append))
    (contents / "grub.cfg").write_text(configuration, encoding="utf-8")
    with Step(f"{tree.target.name}: disk to boot from"):
        status, output = packages.in_root(root, MAKE_DISK, [(contents, "/out", True)])
    if status:
        raise LabError(f"{tree.target.name}: no disk to boot from:\n{output}")
    return qemu.Firmware(root / CODE, variables, contents / "boot.img")
