"""Real servers for the mirror: MLflow on SQLite, and MLflow on PostgreSQL with an S3 store (moto's server).

Owns their start, the wait until they answer, and their end, each by its own process id. All listen on the loopback
address, and all of their data is in one folder. As a program it runs a command with the servers of a company:

    python tests/support/mlflow_servers.py FOLDER COMMAND...

The command sees MLFLOW_TRACKING_URI, MLFLOW_S3_ENDPOINT_URL and AWS_*; all servers end with it. PostgreSQL is that of
the system (Debian: postgresql). It does not run as root, so root starts it as the user `postgres`.
"""

from __future__ import annotations

import http.client
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from support.ports import reserve_port

START_SECONDS = 120.0
END_SECONDS = 15.0
BUCKET = "models"
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
"""What moto's server accepts; it accepts anything."""
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # The queues of jobs take three more processes, and nothing of the mirror uses them.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "PYTHONWARNINGS": "ignore",
}


class Server:
    """A program that answers HTTP on loopback. It keeps its port and its data when it is started again."""

    def __init__(self, name: str, command: Sequence[str], port: int, health: str, folder: Path, **env: str) -> None:
        self.name, self.command, self.port, self.folder = name, list(command), port, folder
        self.health, self.env = health, env
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Return where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """Return the file with what it printed."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with the end of its log."""
        with self.log.open("ab") as log:
            # A session of its own: its workers end with it, and with nothing else.
            self.process = subprocess.Popen(
                self.command, stdout=log, stderr=log, env=os.environ | QUIET | self.env, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                text = self.log.read_text("utf-8", "replace")[-3000:]
                self.kill()
                raise RuntimeError(f"{self.name} does not answer at {self.uri}{self.health}. Its log ends:\n{text}")
            time.sleep(0.1)

    def answers(self) -> bool:
        """Return whether it answers now."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self.health)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """End it at once, in the middle of whatever it does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        for number in (how, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
                process.wait(END_SECONDS)
            except ProcessLookupError:
                process.wait()
            except subprocess.TimeoutExpired:
                continue
            break
        # The first process may end before those that it started.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def program(name: str) -> str:
    """Return the path of a program of the environment that this interpreter belongs to."""
    return str(Path(sys.executable).with_name(name))


def mlflow_on_sqlite(folder: Path, *, port: int | None = None, **env: str) -> Server:
    """Return an MLflow server, not started, that keeps everything in a folder and serves the artifacts itself."""
    folder.mkdir(parents=True, exist_ok=True)
    stores = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "stored")]
    return _mlflow(folder, stores, port, env)


def _mlflow(folder: Path, stores: Sequence[str], port: int | None, env: Mapping[str, str]) -> Server:
    port = port or reserve_port()
    command = [program("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *stores]
    # The server starts programs of its environment (uvicorn, gunicorn) by their names.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return Server("mlflow", command, port, "/health", folder, PATH=path, **env)


def gc(server: Server, *arguments: str) -> str:
    """Run `mlflow gc` on what an MLflow server keeps, and return what it printed."""
    store = server.command[server.command.index("--backend-store-uri") + 1]
    done = subprocess.run(
        [program("mlflow"), "gc", "--backend-store-uri", store, "--tracking-uri", server.uri, *arguments],
        env=os.environ | QUIET | server.env | {"MLFLOW_TRACKING_URI": server.uri},
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    if done.returncode:
        raise RuntimeError(f"mlflow gc ended with {done.returncode}: {done.stderr[-3000:]}")
    return done.stdout + done.stderr


# --- PostgreSQL and S3 -----------------------------------------------------------------------------------------------


def postgres_programs() -> Path | None:
    """Return the folder of the newest PostgreSQL of the system, None without one."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: int(place.parent.name))
    return places[-1] if places else None


class Postgres:
    """A PostgreSQL on loopback with an empty database `mlflow`. Never synced: its data is thrown away."""

    def __init__(self, folder: Path) -> None:
        programs = postgres_programs()
        if programs is None:
            raise RuntimeError("there is no PostgreSQL here. On Debian or Ubuntu: sudo apt-get install postgresql")
        self.programs, self.data, self.port = programs, folder / "postgres", reserve_port()

    @property
    def uri(self) -> str:
        """Return the database as SQLAlchemy spells it; the driver is psycopg 3."""
        return f"postgresql+psycopg://mlflow@127.0.0.1:{self.port}/mlflow"

    def start(self) -> None:
        """Make the cluster and start it."""
        self.data.mkdir(parents=True)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.data, user.pw_uid, user.pw_gid)
            # The way there must be open to that user.
            for folder in self.data.parents:
                if folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o001:
                    folder.chmod(folder.stat().st_mode | 0o011)
        self._run("initdb", "-D", str(self.data), "-A", "trust", "-U", "mlflow", "--no-sync")
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -c unix_socket_directories= -c fsync=off"
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.data / "server.log"), "-o", options, "start")
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "mlflow", "-d", "postgres"]
        self._run("psql", *where, "-qc", "create database mlflow")

    def stop(self) -> None:
        """End it."""
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "stop", check=False)

    def _run(self, name: str, *arguments: str, check: bool = True) -> None:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        # pg_ctl's server keeps what it inherits, so nothing here waits for the end of a pipe.
        with (self.data.parent / "postgres.log").open("ab") as log:
            done = subprocess.run(
                [str(self.programs / name), *arguments], stdout=log, stderr=log, cwd="/", check=False, **user
            )
        if check and done.returncode:
            text = (self.data.parent / "postgres.log").read_text("utf-8", "replace")[-3000:]
            raise RuntimeError(f"{name} ended with {done.returncode}:\n{text}")


@contextmanager
def company(folder: Path) -> Iterator[Server]:
    """MLflow on PostgreSQL, with its artifacts in S3: clients send and get them there, and not through the server.

    The environment of a client is `.env` of the server.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        port = reserve_port()

        command = [program("moto_server"), "-H", "127.0.0.1", "-p", str(port)]
        store = Server("s3", command, port, "/moto-api/", folder)
        stack.callback(store.stop)
        store.start()
        database = Postgres(folder)
        stack.callback(database.stop)
        database.start()
        env = AWS | {"MLFLOW_S3_ENDPOINT_URL": store.uri, "AWS_ENDPOINT_URL": store.uri}
        make_bucket(store.uri)
        stores = ["--backend-store-uri", database.uri, "--default-artifact-root", f"s3://{BUCKET}/artifacts"]
        server = _mlflow(folder, [*stores, "--no-serve-artifacts"], None, env)
        stack.callback(server.stop)
        server.start()
        yield server


def make_bucket(endpoint: str) -> None:
    """Make the bucket of the artifacts."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=AWS["AWS_DEFAULT_REGION"],
        aws_access_key_id=AWS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=AWS["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=BUCKET)


def main(arguments: Sequence[str]) -> int:
    """Run a command with the servers of a company, and return its exit code."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    with company(Path(arguments[0]).resolve()) as server:
        done = subprocess.run(
            arguments[1:], env=os.environ | server.env | {"MLFLOW_TRACKING_URI": server.uri}, check=False
        )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
