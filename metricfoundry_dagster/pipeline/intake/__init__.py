"""Intake: from a source to the raw object, the bytes as they came, with checksum and provenance."""
