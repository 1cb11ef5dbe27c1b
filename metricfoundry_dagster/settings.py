"""Every setting, typed, from `METRICFOUNDRY_*` variables and a `.env` file in the working directory.

Put a new setting here with its unit in its name, its bounds and one sentence that says what it does: the guide and
`.env.example` are generated from that. Nothing else reads the environment, and nothing here opens anything.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from metricfoundry_dagster.domain.errors import SettingsError
from metricfoundry_dagster.domain.limits import Limits

PREFIX = "METRICFOUNDRY_"
#: Variables with this prefix that are no settings of the program: where servers for development are built.
OTHER_VARIABLES = frozenset({"METRICFOUNDRY_SERVERS_CACHE"})
_LIMITS = Limits()
#: Serving in DuckDB costs little, so that a group is as small as keeps what a killed worker takes with it small.
_SERVED_TOGETHER = 100

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0)]


def _below_home(path: str) -> Any:
    """A default that lies under the home that was set."""
    return Field(default_factory=lambda earlier: f"{earlier['home']}/{path}", json_schema_extra={"shown": f"<home>/{path}"})


class Settings(BaseSettings):
    """All settings, checked and frozen. Paths are absolute, roots are directories or fsspec URLs."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    home: Annotated[Path, Field(validate_default=True, json_schema_extra={"shown": "./.metricfoundry"})] = Path(".metricfoundry")
    """Directory of all state: catalog, Dagster's storage, store and served files."""
    uploads_root: str = _below_home("store/uploads")
    """Where files come in: a directory or an fsspec URL such as `s3://bucket/uploads`; the drop zone is `incoming/` in it."""
    artifacts_root: str = _below_home("store/artifacts")
    """Where staged and validated Parquet is kept: a directory or an fsspec URL."""
    reports_root: str = _below_home("store/reports")
    """Where profile reports are kept: a directory or an fsspec URL."""
    s3_endpoint_url: str | None = None
    """Address of an S3 service other than Amazon's, such as `http://localhost:9000` for MinIO."""
    s3_access_key_id: str | None = None
    """Key id for S3; without it the usual chain of Amazon's libraries is used."""
    s3_secret_access_key: SecretStr | None = None
    """Secret that belongs to the key id."""
    s3_region: str | None = None
    """Region of the S3 buckets."""
    database_url: Annotated[str, Field(repr=False)] = Field(
        default_factory=lambda earlier: f"sqlite:///{earlier['home']}/catalog.db",
        json_schema_extra={"shown": "sqlite:///<home>/catalog.db"},
        repr=False,
    )
    """SQLAlchemy URL of the catalog: SQLite, or `postgresql://user:password@host:5432/database`."""
    dagster_database_url: Annotated[SecretStr | None, Field(json_schema_extra={"shown": "<database_url>"})] = None
    """PostgreSQL for Dagster's own storage, which lies in a schema `dagster` of it; with a SQLite catalog it is SQLite too."""
    druid_overlord_url: str | None = None
    """Address of Druid's Overlord, or of a Router before it; with it datasets are served in Druid, without in DuckDB."""
    druid_broker_url: Annotated[str | None, Field(json_schema_extra={"shown": "<druid_overlord_url>"})] = None
    """Address of Druid's Broker, for queries; the Overlord's where a Router answers for both."""
    druid_coordinator_url: Annotated[str | None, Field(json_schema_extra={"shown": "<druid_overlord_url>"})] = None
    """Address of Druid's Coordinator; the Overlord's where both are one process or a Router answers for both."""
    druid_username: str | None = None
    """User of Druid's basic authentication; it needs to write and read the datasources that are served."""
    druid_password: SecretStr | None = None
    """Password of that user."""
    druid_ca_file: Path | None = None
    """File with the certificates of the authorities that Druid's servers are signed by, in place of the public ones."""
    druid_task_timeout_seconds: Seconds = 3_600.0
    """Seconds after which an ingestion task is shut down and given up."""
    druid_load_timeout_seconds: Seconds = 300.0
    """Seconds within which what a task published must be there for queries."""
    contracts_dir: Annotated[Path, Field(validate_default=True, json_schema_extra={"shown": "./contracts"})] = Path("contracts")
    """Directory of contracts: `<datasource>.yaml` in it is the contract of that datasource."""
    source_roots: Annotated[tuple[str, ...], NoDecode] = Field(
        default_factory=lambda earlier: (earlier["uploads_root"],), json_schema_extra={"shown": "<uploads_root>"}
    )
    """Directories and URL prefixes below which a source must lie that a remote request names, separated by commas."""

    max_file_bytes: Count = _LIMITS.max_file_bytes
    """Largest file that is taken, in bytes as it came."""
    max_unpacked_bytes: Count = _LIMITS.max_unpacked_bytes
    """Most bytes that a compressed file may unpack to."""
    max_record_bytes: Count = _LIMITS.max_record_bytes
    """Longest record of a text file, in bytes; a longer one is rejected."""
    max_columns: Count = _LIMITS.max_columns
    """Most columns that a table may have."""
    max_tables: Count = _LIMITS.max_tables
    """Most tables that one file may hold."""
    max_cell_bytes: Count = _LIMITS.max_cell_bytes
    """Longest value of an SQLite file, in bytes; a row with a longer one is rejected."""
    max_view_seconds: Seconds = _LIMITS.max_view_seconds
    """Seconds within which a view of an SQLite file, or a virtual table, must have been read."""
    max_json_depth: Annotated[int, Field(ge=1, le=400)] = _LIMITS.max_json_depth
    """Objects and lists that may lie inside each other in one row of JSON, up to 400; a deeper row is rejected."""
    max_child_tables: Count = _LIMITS.max_child_tables
    """Most tables that the lists of objects inside one JSON file may become."""
    max_raw_chars: Count = _LIMITS.max_raw_chars
    """Characters of raw text that are kept with a rejected row; what is longer is cut."""
    max_reject_share: Share = _LIMITS.max_reject_share
    """Share of rows, 0 to 1, that may be rejected while staging when no contract says otherwise."""
    max_quarantine_share: Share = _LIMITS.max_quarantine_share
    """Share of rows, 0 to 1, that may be quarantined when the contract does not say."""
    min_rows: Annotated[int, Field(ge=0)] = _LIMITS.min_rows
    """Fewest rows that a table must have to go on."""
    max_members: Count = _LIMITS.max_members
    """Most members of an archive, and parts of a workbook."""
    max_expansion_ratio: Count = _LIMITS.max_expansion_ratio
    """Most bytes that each stored byte of an archive or a workbook may unpack to, from `expansion_floor_bytes` on."""
    expansion_floor_bytes: Count = _LIMITS.expansion_floor_bytes
    """Unpacked bytes below which nobody asks how well they were compressed."""
    max_workbook_bytes: Count = _LIMITS.max_workbook_bytes
    """Most bytes that all parts of a workbook together may unpack to."""
    max_sheets: Count = _LIMITS.max_sheets
    """Most sheets that a workbook may have."""
    max_reader_memory_bytes: Count = _LIMITS.max_reader_memory_bytes
    """Address space, in bytes, of the process that reads a workbook."""
    reader_timeout_seconds: Seconds = _LIMITS.reader_timeout_seconds
    """Seconds, of CPU and of time, after which the process that reads a workbook is killed."""
    max_query_rows: Count = _LIMITS.max_query_rows
    """Most rows that the answer to a query may have."""
    query_timeout_seconds: Seconds = 60.0
    """Seconds after which a query is given up."""

    sensor_interval_seconds: Count = 2
    """Seconds between two looks at the drop zone."""
    quiet_seconds: Annotated[float, Field(ge=0)] = 1.0
    """Seconds for which a dropped object must have stayed as it is before it is taken, 0 or more; two looks must agree anyway."""
    max_registrations_per_tick: Count = 2_000
    """Most new objects that one look registers; the rest waits for the next."""
    max_keys_per_look: Annotated[int, Field(ge=100)] = 10_000
    """Most keys of the drop zone that one look reads, a quarter of it while nothing new comes in; more are read in rounds."""
    max_runs_per_tick: Count = 50
    """Most runs that one look submits."""
    max_queued_runs: Count = 200
    """Most runs that wait for a free worker; more datasets wait in the catalog, where waiting costs nothing."""
    batch_min_datasets: Count = 10
    """Small datasets that must wait at the same time to share a run; fewer get runs of their own."""
    batch_max_datasets: Count = 500
    """Most datasets that share a run; with 1 every dataset gets a run of its own."""
    batch_max_bytes: Count = 256 * 1024**2
    """Most bytes, as they came, of the datasets that share a run."""
    batch_max_dataset_bytes: Count = 8 * 1024**2
    """Largest dataset that shares a run, in bytes as it came; a larger one gets a run of its own."""
    batch_max_age_seconds: Annotated[float, Field(ge=0)] = 5.0
    """Seconds for which small datasets that are too few to share a run wait for company when every worker is busy."""
    batch_serve_datasets: Annotated[Count | None, Field(json_schema_extra={"shown": "100; a whole batch with Druid"})] = None
    """Datasets of a batch that are served together, and that a killed worker takes with it at the most."""
    batch_hold_seconds: Annotated[float, Field(ge=0)] = 30.0
    """Seconds before the rest of a batch is tried again that ended because a store, database or engine is away."""
    job_lost_after_seconds: Seconds = 60.0
    """Seconds after which a job that was claimed but has no run is taken up again."""
    max_concurrent_runs: Count = 2
    """Runs that go on at the same time."""
    max_run_seconds: Count = 86_400
    """Seconds after which a run is ended that has not ended by itself; what it did not finish is taken up again."""
    worker_log_days: Count = 14
    """Days for which the output of a run's worker is kept."""
    world_retries: Annotated[int, Field(ge=0)] = 3
    """Tries after the first when a store, database or engine is away."""
    world_retry_base_seconds: Seconds = 1.0
    """Seconds before the first such try; the wait doubles each time and is spread by chance."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 3000
    """Port of the web interface on this machine."""
    host: IPv4Address = IPv4Address("127.0.0.1")
    """IP address on which the web interface listens. It has no login: change this only inside of a closed network."""
    dagster_url: str | None = None
    """Address of Dagster's web server, to which runs are submitted when it answers; without it that of a running `up`."""

    @property
    def served_together(self) -> int:
        """Datasets of a batch that are served in one step. A task of Druid costs seconds, however little it brings."""
        own = self.batch_max_datasets if self.druid_overlord_url else _SERVED_TOGETHER
        return self.batch_serve_datasets or own

    @field_validator("home", "contracts_dir")
    @classmethod
    def _make_absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @field_validator("druid_overlord_url", "druid_broker_url", "druid_coordinator_url")
    @classmethod
    def _require_plain_address(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "http://host")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
            raise ValueError("must be http://host:port or https://host:port; user and password have settings of their own")
        return url

    @field_validator("druid_ca_file")
    @classmethod
    def _require_file(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError("must be a file that is there")
        return path

    @field_validator("source_roots", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("source_roots")
    @classmethod
    def _make_roots_absolute(cls, roots: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_absolute(root) for root in roots)

    @field_validator("uploads_root", "artifacts_root", "reports_root")
    @classmethod
    def _make_directory_absolute(cls, root: str) -> str:
        return _absolute(root)


def _absolute(root: str) -> str:
    """A directory as an absolute path; a URL as it is."""
    return root if "://" in root else str(Path(root).expanduser().absolute())


def load_settings() -> Settings:
    """Read the settings of this process.

    Raises:
        SettingsError: `settings.invalid`, naming every variable that is wrong; a value is never repeated, it may be a secret.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("settings.invalid", _list_problems(error)) from None


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def unknown_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """Variables that look like settings and are none: most often a typing error. Sorted by name."""
    known = {variable_of(name) for name in Settings.model_fields} | OTHER_VARIABLES
    names = os.environ if environment is None else environment
    return sorted(name for name in names if name.startswith(PREFIX) and name not in known)


@dataclass(frozen=True, slots=True)
class SettingDescription:
    """One setting as people read of it. `default` is empty when there is none."""

    name: str
    variable: str
    default: str
    meaning: str


def describe_settings() -> list[SettingDescription]:
    """Every setting, in order of declaration."""
    return [
        SettingDescription(name, variable_of(name), _shown_default(field), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def _list_problems(error: ValidationError) -> str:
    """All that is wrong, by variable; a default that hangs on a wrong setting is no problem of its own."""
    problems = [
        f"{variable_of(str(each['loc'][0]))}: {each['msg']}"
        for each in error.errors(include_input=False, include_url=False)
        if each["loc"] and each["type"] != "default_factory_not_called"
    ]
    return "; ".join(problems) or "the settings are not valid"


def _shown_default(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "shown" in extra:
        return str(extra["shown"])
    return "" if field.default is None else str(field.default)
