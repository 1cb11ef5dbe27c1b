"""Apache Druid as servers of the stack: ZooKeeper, and four processes of Druid, each with the files of `deploy/druid`.

Druid asks nobody for a password: whoever can reach the ports of the loopback interface may use it.
"""

import json
import shutil
import signal
import socket
from pathlib import Path
from string import Template

from deploy.servers.build_druid import class_archives, druid_jars
from deploy.servers.find_programs import find_java
from deploy.servers.locations import DRUID_CONFIGURATION
from deploy.servers.processes import Launch
from deploy.servers.run_minio import endpoint_url
from deploy.servers.server import HOST, Server, Site, answers, ask

#: What Druid needs to see of Java's inside, as in its own start script.
_OPENED = (
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
)
#: Ten seconds on a machine of its own, and minutes on one that has much else to do.
_START_SECONDS = 280.0
_STOP = {"fast": signal.SIGTERM}


def overlord_url(site: Site) -> str:
    """Where ingestion tasks are submitted; the coordinator answers at the same address."""
    return f"http://{HOST}:{site.ports['coordinator']}"


def broker_url(site: Site) -> str:
    """Where queries are answered."""
    return f"http://{HOST}:{site.ports['broker']}"


def _prepare_zookeeper(site: Site) -> Launch:
    folder = site.make_folder("zookeeper")
    values = {"ZOOKEEPER_ADDRESS": HOST, "ZOOKEEPER_PORT": site.ports["zookeeper"], "ZOOKEEPER_DATA_DIR": folder / "data"}
    configuration = folder / "zoo.cfg"
    configuration.write_text(_uncommented(Template((DRUID_CONFIGURATION / "zoo.cfg").read_text()).substitute(values)))
    return _launch_java(site, "zookeeper", "org.apache.zookeeper.server.ZooKeeperServerMain", str(configuration))


def _prepare_druid(site: Site, name: str) -> Launch:
    return _launch_java(site, name, "org.apache.druid.cli.Main", "server", name)


def _launch_java(site: Site, name: str, *main: str) -> Launch:
    java, jars = find_java(), druid_jars()
    folder = site.make_folder(f"druid/{name}")
    temporary = site.make_folder(f"druid/{name}/temporary")
    # Druid finds its files in the working directory as well, and with a folder in the class path Java shares no classes.
    for properties in (DRUID_CONFIGURATION / "common.runtime.properties", DRUID_CONFIGURATION / name / "runtime.properties"):
        if properties.exists():
            shutil.copyfile(properties, folder / properties.name)
    options = (DRUID_CONFIGURATION / name / "jvm.config").read_text().split()
    options += [f"-Dlog4j.configurationFile={DRUID_CONFIGURATION / 'log4j2.xml'}", f"-Djava.io.tmpdir={temporary}"]
    options += _class_sharing(site, java, name)
    command: tuple[str | Path, ...] = (java, *options, *_OPENED, "-cp", jars.class_path(), *main)
    return Launch(command, folder, _variables(site, name, jars.extensions))


def _class_sharing(site: Site, java: Path, name: str) -> list[str]:
    """Half of what a start costs is finding and checking classes; an archive of them saves that."""
    if site.class_archives:
        return [f"-XX:ArchiveClassesAtExit={site.class_archives / name}.jsa"]
    archive = class_archives(java) / f"{name}.jsa"
    return [f"-XX:SharedArchiveFile={archive}"] if archive.exists() else []


def _variables(site: Site, name: str, extensions: Path) -> dict[str, str]:
    """The variables that the files in `deploy/druid` name."""
    return {
        "DRUID_HOST": HOST,
        "DRUID_EXTENSIONS_DIRECTORY": str(extensions),
        "DRUID_ZOOKEEPER": f"{HOST}:{site.ports['zookeeper']}",
        "DRUID_METADATA_HOST": HOST,
        "DRUID_METADATA_PORT": str(site.ports["derby"]),
        "DRUID_S3_ENDPOINT": endpoint_url(site),
        "DRUID_S3_ACCESS_KEY": site.secrets["minio_access_key"],
        "DRUID_S3_SECRET_KEY": site.secrets["minio_secret_key"],
        "DRUID_STATE_DIRECTORY": str(site.folder / "druid"),
        f"DRUID_{name.upper()}_PORT": str(site.ports[name]),
    }


def _uncommented(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def _zookeeper_answers(site: Site) -> bool:
    """Ask it for its statistics, the only one of its four-letter words that is allowed by default."""
    try:
        with socket.create_connection((HOST, site.ports["zookeeper"]), timeout=5) as connection:
            connection.sendall(b"srvr")
            return b"Mode:" in connection.recv(4096)
    except OSError:
        return False


def _coordinator_leads(site: Site) -> bool:
    return answers(site, "coordinator", "/druid/coordinator/v1/isLeader") and answers(
        site, "coordinator", "/druid/indexer/v1/isLeader"
    )


def _indexer_takes_tasks(site: Site) -> bool:
    """The indexer answers, and the Overlord knows of it."""
    workers = ask(site, "coordinator", "/druid/indexer/v1/workers") if answers(site, "indexer", "/status/health") else None
    host = f"{HOST}:{site.ports['indexer']}"
    return workers is not None and any(worker["worker"]["host"] == host for worker in json.loads(workers))


ZOOKEEPER = Server(
    name="zookeeper", ports=("zookeeper",), prepare=_prepare_zookeeper, is_healthy=_zookeeper_answers, stop_signals=_STOP
)
COORDINATOR = Server(
    name="coordinator",
    ports=("coordinator", "derby"),
    needs=("zookeeper", "minio"),
    prepare=lambda site: _prepare_druid(site, "coordinator"),
    is_healthy=_coordinator_leads,
    start_seconds=_START_SECONDS,
    stop_signals=_STOP,
)
HISTORICAL = Server(
    name="historical",
    ports=("historical",),
    needs=("zookeeper", "minio"),
    prepare=lambda site: _prepare_druid(site, "historical"),
    is_healthy=lambda site: answers(site, "historical", "/druid/historical/v1/readiness"),
    start_seconds=_START_SECONDS,
    stop_signals=_STOP,
)
BROKER = Server(
    name="broker",
    ports=("broker",),
    needs=("zookeeper", "minio"),
    prepare=lambda site: _prepare_druid(site, "broker"),
    is_healthy=lambda site: answers(site, "broker", "/druid/broker/v1/readiness"),
    start_seconds=_START_SECONDS,
    stop_signals=_STOP,
)
INDEXER = Server(
    name="indexer",
    ports=("indexer",),
    needs=("zookeeper", "minio"),
    prepare=lambda site: _prepare_druid(site, "indexer"),
    is_healthy=_indexer_takes_tasks,
    start_seconds=_START_SECONDS,
    stop_signals=_STOP,
)
