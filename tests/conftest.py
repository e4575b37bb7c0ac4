"""What holds for every test."""

import signal

if hasattr(signal, "SIGHUP"):  # under nohup it is ignored, which the commands that tests start would inherit
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
