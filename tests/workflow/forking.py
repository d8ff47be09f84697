"""Python scripts in forks of a process that has the model libraries imported: a job of the tests is mostly their import.

:func:`interpreter` starts that process and gives the path of a program to call in place of ``python``. It passes its arguments,
variables, folder and streams on, and ends as the fork does. The library itself is not imported before the fork: tests edit copies of it.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import runpy
import shutil
import socket
import socketserver
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

# What a job that loads the tests' model imports, and nothing of the project.
PRELOADED = ("peft", "accelerate", "pandas", "pyarrow.parquet", "transformers.models.llava.modeling_llava")
CLIENT = """\
#!{python} -IS
import json, os, socket, sys

with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(request)
    code = server.recv(1)
# The fork was killed if it says nothing.
sys.exit(code[0] if code else 137)
"""


@functools.cache
def interpreter() -> Path:
    """Start the process, once, and wait until it takes requests.

    Returns:
        The program to call in place of ``python``. It takes a script and its arguments.
    """
    folder = Path(mkdtemp(prefix="forking-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address, client = folder / "socket", folder / "python"
    client.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    client.chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, address], stdout=subprocess.PIPE)
    atexit.register(server.kill)
    assert server.stdout is not None and server.stdout.readline() == b"ready\n"
    return client


class _Request(socketserver.BaseRequestHandler):
    """Runs in the fork."""

    def handle(self) -> None:
        """Become what ``python script arguments`` would be, and send its exit code."""
        length, streams, _, _ = socket.recv_fds(self.request, 8, 3)
        with self.request.makefile("rb") as lines:
            arguments, folder, variables = json.loads(lines.read(int.from_bytes(length, "big")))
        for stream, descriptor in enumerate(streams):
            os.dup2(descriptor, stream)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(variables)
        os.chdir(folder)
        sys.argv, sys.path[0] = arguments, str(Path(arguments[0]).parent)
        self.request.sendall(bytes([_run(arguments[0])]))


def _run(script: str) -> int:
    """The exit code of a script, with its message of an error on standard error."""
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    else:
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    return code


class _Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    max_children = 1000


def _serve(address: str) -> None:
    """Import the libraries, then answer until killed."""
    for name in PRELOADED:
        __import__(name)
    assert "unsee" not in sys.modules
    with _Server(address, _Request) as server:
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    _serve(sys.argv[1])
