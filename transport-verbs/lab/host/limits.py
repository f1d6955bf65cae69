"""What goes before a command line, so that the program may lock no more than a little memory."""

LIMIT_BYTES = 16 << 20


def limited_to(locked_bytes):
    """Who has the capability may lock everything, whatever the limit, so that is taken away."""
    return ("prlimit", f"--memlock={locked_bytes}", "setpriv", "--bounding-set=-ipc_lock",
            "--inh-caps=-ipc_lock")


LIMITED = limited_to(LIMIT_BYTES)
