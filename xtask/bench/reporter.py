"""A trial that reports 10,000 figures as fast as it can, and leaves in a file for how long that kept it busy.

    reporter.py output FILE   one line of output each, flushed each
    reporter.py socket FILE   over the trial's socket, waiting for each answer
"""

import os
import socket
import sys
import time

how, file = sys.argv[1:3]
COUNT = 10_000

if how == "output":
    began = time.perf_counter()
    for step in range(COUNT):
        sys.stdout.write(f"loss={step}\n")
        sys.stdout.flush()
else:
    link = socket.socket(socket.AF_UNIX)
    link.connect(os.environ["KILTER_SOCKET"])
    answers = link.makefile("rb")
    began = time.perf_counter()
    for step in range(COUNT):
        link.sendall(b'{"report":{"step":%d,"metrics":{"loss":%d}}}\n' % (step, step))
        answers.readline()
took = time.perf_counter() - began
with open(file, "w") as out:
    out.write(repr(took))
