"""A service that answers what it is asked, or breaks its contract in the way that it is told; workers run this file."""

import os
import signal
import struct
import subprocess
import sys
import time

from operant.config.errors import ConfigError
from operant.workers.worker import serve


class Odd:
    def start(self, settings):
        return [str(settings.get("greeting", "")).encode()]

    def handle(self, kind, body):
        how, _, given = str(body, "utf-8").partition(" ")
        return [str(getattr(self, how)(given)).encode()]

    def close(self):
        print("closed", file=sys.stderr)

    def echo(self, given):
        return given

    def large(self, given):
        return "x" * int(given)

    def wait(self, given):
        time.sleep(float(given))
        return given

    def write(self, given):
        """Write frames of one's own to the socket, "kind:number:body", and then answer."""
        for each in given.split(","):
            kind, number, body = each.split(":")
            frame = struct.pack("<c7xqQ", kind.encode(), int(number), len(body)) + body.encode()
            os.write(int(sys.argv[1]), frame)
        return "its own"

    def noise(self, given):
        os.write(int(sys.argv[1]), given.encode() * 50)
        return "its own"

    def fork(self, given):
        """Come back in two processes, the child with another answer."""
        if os.fork() == 0:
            time.sleep(float(given))
            return "of the child"
        return "of the parent"

    def fork_raise(self, given):
        if os.fork() == 0:
            raise ValueError("in the child")
        return "of the parent"

    def start_programs(self, given):
        """Start a program and fork a process that both last; returns their ids."""
        program = subprocess.Popen(["sleep", "600"], close_fds=False)
        child = os.fork()
        if child == 0:
            time.sleep(600)
        return f"{program.pid} {child}"

    def refuse(self, given):
        raise ConfigError(given)

    def raises(self, given):
        raise ValueError(given)

    def leave(self, given):
        raise SystemExit(given)

    def interrupt(self, given):
        raise KeyboardInterrupt

    def exit(self, given):
        os._exit(int(given))

    def kill(self, given):
        os.kill(os.getpid(), signal.SIGKILL)

    def kill_group(self, given):
        os.killpg(0, signal.SIGTERM)

    def shut(self, given):
        os.close(int(sys.argv[1]))
        time.sleep(600)

    def prints(self, given):
        print("a service that talks", flush=True)
        os.system("echo a program that talks")
        return given


if __name__ == "__main__":
    serve(Odd())
