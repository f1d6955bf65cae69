"""What goes before a command line, so that the program may lock no more than a little memory."""

LIMIT_BYTES = 16 << 20
# Who has the capability may lock everything, whatever the limit.
LIMITED = ("prlimit", f"--memlock={LIMIT_BYTES}", "setpriv", "--bounding-set=-ipc_lock",
           "--inh-caps=-ipc_lock")
