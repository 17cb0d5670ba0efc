#!/usr/bin/env python3
"""hanging_mount.py DIR: mounts a file system on DIR that never answers, as a file server that is down; says "mounted" on stdout.
Whoever looks into it hangs until this process ends; then it fails. Needs root and FUSE. Exit status 1: it cannot be mounted."""
import ctypes
import os
import signal
import sys

libc = ctypes.CDLL(None, use_errno=True)
try:
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"hanging", os.fsencode(sys.argv[1]), b"fuse", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")
except OSError as error:
    sys.exit(f"hanging_mount.py: {error}")
print("mounted", flush=True)
signal.pause()
