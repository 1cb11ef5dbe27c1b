"""The words of the project: frozen values, errors and limits.

Nothing here performs I/O or imports anything but the standard library.
"""
