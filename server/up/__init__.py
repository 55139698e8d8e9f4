"""`amrutam up`: everything on one machine, under one supervisor; the tests take their services from here too."""

from server.up.folder import Folder, Refused, open_folder
from server.up.postgres import Postgres, embedded_postgres
from server.up.valkey import Valkey, embedded_valkey

__all__ = ["Folder", "Postgres", "Refused", "Valkey", "embedded_postgres", "embedded_valkey", "open_folder"]
