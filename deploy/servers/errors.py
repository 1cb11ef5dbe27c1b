"""What can go wrong with servers of our own: one cannot be had here, or one does not do as it should.

ServersError
├── ServerUnavailableError   a program is missing, or cannot be built here: the message says how to get it
├── ServerFailedError        a server was started and did not become healthy: the message ends with its log
└── StackInUseError          another process has the directory
"""


class ServersError(Exception):
    """Anything of the kind; the message is for people."""


class ServerUnavailableError(ServersError):
    """What a server needs cannot be had on this machine; the message says what, and how to get it."""


class ServerFailedError(ServersError):
    """A server ended, or did not become healthy in its time."""


class StackInUseError(ServersError):
    """The directory belongs to a stack that another process runs."""
