# SPDX-License-Identifier: Apache-2.0
"""Makes a lab that was used as good as new, in a third of the time that "down" and "up" take.

Hosts, links, engines and images stay. All else goes: containers, volumes, users, programs on hosts, files. Then each
edge host is compared with what it was when it came up (note): mounts, packet filter, devices, control groups,
processes, and Docker's own lists. Where anything differs, somebody has left it behind, and the lab needs "up".
"""

import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tarfile
import time

from engines import Api, EngineError, comm, processes_of, root_of

NOTED = "as_new.json"  # in the directory of an edge host
KEPT = {"data", "daemon.json", "criu.conf", "docker.sock", NOTED}  # there, and engine.*
SETTLE_S = 3  # for what ends by itself


class NotRenewed(EngineError):
    """The lab needs "up"; the text says why."""


def processes():
    """Of each: its number, and the namespaces of its network and mounts."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                yield int(entry), os.readlink(f"/proc/{entry}/ns/net"), os.readlink(f"/proc/{entry}/ns/mnt")
            except OSError:
                pass


def netns(lab, kind=""):
    """Network namespaces of a lab: names, without the lab's."""
    return [path.name[len(lab.name) + 1:] for path in pathlib.Path("/run/netns").glob(f"{lab.name}-{kind}*")
            if path.name[len(lab.name) + 1:].rstrip("0123456789") in
            ("switch", "logrepo", "laptop", "registry", "pc", "user")]


def look(lab, host):
    """What must be as it was, as a multiset of lines."""
    pid = processes_of(lab.dir / host)[1]
    mounts = os.readlink(f"/proc/{pid}/ns/mnt")
    lines = collections.Counter(f"mount {line.split()[4]}" for line in
                                pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines())
    lines.update(f"process {comm(p)}" for p, _, mnt in processes() if mnt == mounts and comm(p))
    lines.update(f"packet filter {line.strip()}" for line in
                 lab.lab("exec-engine", host, "sh", "-c", "iptables-save 2>/dev/null || true").splitlines()
                 if line[:1] not in "#:")
    lines.update(f"device {line.split(': ')[1].split('@')[0]}" for line in
                 run("ip", "-n", f"{lab.name}-{host}", "-o", "link").splitlines())
    docker = Api(lab.dir / host)
    lines.update(f"container {c['Names']}" for c in docker.ask("GET", "/containers/json?all=1"))
    lines.update(f"volume {v['Name']}" for v in docker.ask("GET", "/volumes")["Volumes"] or [])
    lines.update(f"network {n['Name']}" for n in docker.ask("GET", "/networks"))
    docker.close()
    for pattern in (f"*/{lab.name}-{host}", f"{lab.name}-{host}", f"*/baton_lab_*_{host}.slice"):
        for group in pathlib.Path("/sys/fs/cgroup").glob(pattern):
            lines.update(f"control group {path}" for path in group.glob("**/*") if path.is_dir())
    return lines


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def note(lab):
    """Remember what each edge host is like before anybody has used it."""
    for host in lab.hosts():
        (lab.dir / host / NOTED).write_text(json.dumps(look(lab, host)))


def check_usable(lab):
    """It runs, and has what "up" made."""
    if sorted(netns(lab, "pc")) != lab.hosts():
        raise NotRenewed("there is none of this size")
    if "registry" in netns(lab):
        raise NotRenewed("it has a registry")
    for host in lab.hosts():
        if not (lab.dir / host / NOTED).exists():
            raise NotRenewed(f"nobody has noted what {host} was like")
        processes_of(lab.dir / host)
    for path in lab.dir.glob("wan-*.pid"):
        if comm(path.read_text().strip()) != "link_emulator":
            raise NotRenewed(f"{path.stem} has ended")
    mounts = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    if below := [path for path in mounts if path.startswith(f"{lab.dir}/")]:
        raise NotRenewed(f"somebody has mounted {below[0]}")


def empty_engine(lab, host):
    """No containers, no volumes, no files of Baton."""
    root = root_of(lab.dir / host)
    docker = Api(lab.dir / host)
    for container in docker.ask("GET", "/containers/json?all=1"):
        docker.ask("DELETE", f"/containers/{container['Id']}?force=1&v=1")
    for volume in docker.ask("GET", "/volumes")["Volumes"] or []:
        docker.ask("DELETE", f"/volumes/{volume['Name']}?force=1")
    docker.close()
    for path in (*root.glob("run/baton*"), root / "etc/docker/certs.d", *(lab.dir / host / "data").glob("baton-*")):
        remove(path)
    (root / "run/baton").mkdir(mode=0o700)
    for path in (lab.dir / host).iterdir():
        if path.name not in KEPT and not path.name.startswith("engine."):
            remove(path)


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def others(lab):
    """Processes of a lab but those of its engines and links, and ourselves."""
    mark = f"BATON_LAB_OWNER={lab.name}".encode()
    networks = {f"net:[{os.stat(f'/run/netns/{lab.name}-{ns}').st_ino}]" for ns in netns(lab)}
    kept = {os.getpid(), os.getppid()}
    kept.update(int(path.read_text()) for path in lab.dir.glob("wan-*.pid"))
    for host in lab.hosts():
        kept.update(processes_of(lab.dir / host))
    for pid, net, _ in processes():
        try:
            if pid not in kept and (net in networks or
                                    mark in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                yield pid
        except OSError:
            pass


def end_others(lab):
    """Return: whether there were none."""
    found = list(others(lab))
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return not found


def within(seconds, condition):
    """Whether a condition that nothing announces comes in time."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return value


def differences(lab, host):
    """What is there and was not, or was there and is not."""
    now, then = look(lab, host), collections.Counter(json.loads((lab.dir / host / NOTED).read_text()))
    return [*(f"{host}: left {line}" for line in now - then), *(f"{host}: no more {line}" for line in then - now)]


def set_links(lab, rtt_ms, rate_mb_s):
    """All links as at "up"."""
    lab.link("up")
    lab.link(rtt_ms, rate_mb_s, 0)
    for ns in netns(lab):  # what the kernel has learned of other links
        run("ip", "-n", f"{lab.name}-{ns}", "tcp_metrics", "flush")


def renew(lab, rtt_ms, rate_mb_s):
    """Make a lab of this name and size, if there is one, as good as new. Raises NotRenewed with the reason."""
    check_usable(lab)
    for host in lab.hosts():
        empty_engine(lab, host)
    if not within(SETTLE_S, lambda: end_others(lab)):
        raise NotRenewed("some processes do not end")
    for user in netns(lab, "user"):
        run("ip", "netns", "del", f"{lab.name}-{user}")
    for path in lab.dir.iterdir():
        if path.name != "hosts" and path.name not in lab.hosts() and not path.name.startswith("wan-"):
            remove(path)
    set_links(lab, rtt_ms, rate_mb_s)
    for host in lab.hosts():
        if not within(SETTLE_S, lambda h=host: not differences(lab, h)) and (left := differences(lab, host)):
            raise NotRenewed("; ".join(left))


# --- images ---------------------------------------------------------------------------------------


def identity(tar):
    """Identity that an engine gives to the image in a tar of docker-save."""
    with tarfile.open(tar) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))
    return "sha256:" + pathlib.PurePath(manifest[0]["Config"]).stem


def keep_images(lab, images):
    """Of these images (name: tar), keep what is as it would be loaded; remove all others. Return: host, name of those"""
    wanted = {identity(tar): [name] for name, tar in images.items()}
    kept = set()
    for host in lab.hosts():
        docker = Api(lab.dir / host)
        for image in docker.ask("GET", "/images/json"):
            names = [name if name.rpartition("/")[2].count(":") else f"{name}:latest"
                     for name in wanted.get(image["Id"], [])]
            if host in lab.image_on and names and image["RepoTags"] == names and not image["RepoDigests"]:
                kept.add((host, *wanted[image["Id"]]))
            else:
                docker.ask("DELETE", f"/images/{image['Id']}?force=1")
        docker.close()
    return kept
