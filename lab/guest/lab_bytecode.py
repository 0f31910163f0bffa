"""Keeps what Python compiles out of archives: Ansible sends its modules as one, and each task would compile all again.

That is half of what a task costs, and emulated it is seconds. lab/guest/customize has every Python of a virtual machine
run this at its start. Who has no directory of his own below DIRECTORY goes without.
"""

import binascii
import os
import sys
import zipimport
from importlib.machinery import SourceFileLoader
from types import CodeType

DIRECTORY = f"/var/cache/lab-bytecode/{os.getuid()}"


class Importer(zipimport.zipimporter):
    """That of the library, but that a module's source goes into a file first, whose bytecode Python keeps by itself."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of a module, compiled only where no task has had the same before."""
        source = self.get_source(fullname)
        if source is None or not os.access(DIRECTORY, os.W_OK):
            return super().get_code(fullname)
        content = source.encode()
        path = f"{DIRECTORY}/{fullname}-{binascii.crc32(content):08x}.py"
        if not os.path.exists(path):
            draft = f"{path}.{os.getpid()}"
            with open(draft, "wb") as stream:
                stream.write(content)
            os.replace(draft, path)
        # Ansible has Python keep none, for it would lie in a directory that goes with the task.
        told, sys.dont_write_bytecode = sys.dont_write_bytecode, False
        try:
            return SourceFileLoader(fullname, path).get_code(fullname) or super().get_code(fullname)
        finally:
            sys.dont_write_bytecode = told


sys.path_hooks[sys.path_hooks.index(zipimport.zipimporter)] = Importer
