"""A filter of system calls for a process that may compute, read and write what is open, sleep and end: nothing else.

What is not on the list fails with EPERM, whatever code asks for it: Python's, that of a C extension, or machine code
that the process wrote into its own memory. So there are no files, processes, signals to others, sockets or new
privileges. Calls of another architecture's table end the process. Linux on x86-64 and 64-bit ARM; see seccomp(2).
"""

from __future__ import annotations

import platform
import struct
import sys

X86_64 = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11, "brk": 12,
    "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "sched_yield": 24, "mremap": 25, "madvise": 28,
    "nanosleep": 35, "getitimer": 36, "setitimer": 38, "getpid": 39, "exit": 60, "gettimeofday": 96, "getrusage": 98,
    "times": 100, "getuid": 102, "sigaltstack": 131, "gettid": 186, "time": 201, "futex": 202, "restart_syscall": 219,
    "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "getrandom": 318, "rseq": 334,
}  # fmt: skip
AARCH64 = {
    "read": 63, "write": 64, "close": 57, "fstat": 80, "lseek": 62, "mmap": 222, "mprotect": 226, "munmap": 215,
    "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "sched_yield": 124, "mremap": 216,
    "madvise": 233, "nanosleep": 101, "getitimer": 102, "setitimer": 103, "getpid": 172, "exit": 93,
    "gettimeofday": 169, "getrusage": 165, "times": 153, "getuid": 174, "sigaltstack": 132, "gettid": 178, "futex": 98,
    "restart_syscall": 128, "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115, "exit_group": 94,
    "getrandom": 278, "rseq": 293,
}  # fmt: skip
TABLES = {"x86_64": (0xC000003E, X86_64), "aarch64": (0xC00000B7, AARCH64)}
"""Machine → its AUDIT_ARCH, and what is allowed there."""

LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF: load a word, jump if equal, return
KILL, REFUSE, ALLOW = 0x80000000, 0x00050001, 0x7FFF0000  # the process; with errno 1, EPERM; let through
NUMBER, ARCH = 0, 4  # offsets in struct seccomp_data


def program(machine: str | None = None) -> bytes:
    """The filter as an array of `struct sock_filter`; empty where there is none for this system or machine."""
    machine = machine or (platform.machine() if sys.platform == "linux" else "")
    if machine not in TABLES:
        return b""
    arch, allowed = TABLES[machine]
    n = len(allowed)
    lines = [(LOAD, 0, 0, ARCH), (EQUAL, 1, 0, arch), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    lines += [(EQUAL, n - i, 0, number) for i, number in enumerate(allowed.values())]
    lines += [(RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("<HBBI", *line) for line in lines)
