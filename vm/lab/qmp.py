# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Commands to a running QEMU over its machine protocol (QMP)."""

import json

from lab.errors import LabError


class Monitor:
    """One QMP connection; events are read and dropped."""

    def __init__(self, connection):
        self._stream = connection.makefile("rw", encoding="utf-8", newline="\n")
        self._ready = False

    def command(self, name, **arguments):
        if not self._ready:
            self._stream.readline()
            self._ready = True
            self._exchange("qmp_capabilities", {})
        return self._exchange(name, arguments)

    def _exchange(self, name, arguments):
        self._stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self._stream.flush()
        while True:
            line = self._stream.readline()
            if not line:
                raise LabError(f"QEMU went away during {name}")
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise LabError(f"QEMU refused {name}: {answer['error']['desc']}")
