"""A Slurm of one node on this machine, without accounting: munge, controller and node in a folder of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={controller}
SlurmdPort={node}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
KillWait=10
MinJobAge=60
ReturnToService=2
InactiveLimit=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 CoresPerSocket=2 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun")


def missing() -> str:
    """Why there can be no Slurm here; empty if there can."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    absent = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if absent:
        return f"{', '.join(absent)} not installed (apt-get install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "a Slurm of one's own needs root: its node starts jobs for users"


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Run it; yields the environment that finds it."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    configuration = folder / "slurm.conf"
    ports = {"controller": _free_port(), "node": _free_port()}
    configuration.write_text(CONFIGURATION.format(host=socket.gethostname().split(".")[0], folder=folder, **ports))
    env = {"SLURM_CONF": str(configuration)}
    whole = os.environ | env | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
    munge_files = [
        f"--{name}={folder}/munge.{end}"
        for name, end in (("key-file", "key"), ("socket", "socket"), ("pid-file", "pid"), ("log-file", "log"),
                          ("seed-file", "seed"))
    ]  # fmt: skip
    commands = [["munged", "--foreground", "--force", *munge_files], ["slurmctld", "-D"], ["slurmd", "-D"]]
    running = []
    try:
        for command in commands:
            running.append(
                subprocess.Popen(
                    command, env=whole, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
                )
            )
            time.sleep(0.5)
        _wait_until_idle(whole, folder)
        yield env
    finally:
        subprocess.run(["scancel", "--signal=KILL", "--state=RUNNING"], env=whole, check=False, capture_output=True)
        for process in reversed(running):
            process.terminate()
        for process in running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_idle(env: dict[str, str], folder: Path) -> None:
    stop = time.monotonic() + 30
    while time.monotonic() < stop:
        done = subprocess.run(["sinfo", "-h", "-o", "%t"], env=env, capture_output=True, text=True, check=False)
        if done.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    logs = "".join(path.read_text()[-1500:] for path in sorted(folder.glob("*.log")))
    raise RuntimeError(f"Slurm did not start ({done.stdout}{done.stderr}):\n{logs}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
