"""The power goes: a run's calls are recorded, and played back up to each of them on a disk that forgets.

What is sure to be on the disk: a file's bytes once the file was fsynced, a folder's names once the folder was. All else may be
there or not, and names may be there before the bytes that they stand for.
"""

import random
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

TRACED = "openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate"
LINE = re.compile(r"^\d+\s+(\w+)\((.*)\)\s+=\s+(-?\d+)(<[^>]*>)?")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


class File:
    def __init__(self):
        self.now, self.sure = b"", b""


class Disk:
    """One folder: what its names stand for, and what of that is sure."""

    def __init__(self):
        self.names, self.sure, self.pending = {}, {}, []

    def change(self, name, file):
        if file is None:
            self.names.pop(name, None)
        else:
            self.names[name] = file
        self.pending.append([(name, file)])

    def rename(self, old, new):
        file = self.names.pop(old)
        self.names[new] = file
        self.pending.append([(new, file), (old, None)])

    def sync(self):
        self.sure, self.pending = dict(self.names), []

    def after_power_loss(self, kind, draw):
        """What may be found: the least that is sure; names early; or anything in between."""
        names = dict(self.sure)
        for changes in self.pending:
            if kind == "names early" or (kind == "anything" and draw.random() < 0.5):
                for name, file in changes:
                    if file is None:
                        names.pop(name, None)
                    else:
                        names[name] = file
        found = {}
        for name, file in names.items():
            if kind == "anything" and file.now != file.sure:
                found[name] = draw.choice([file.now, file.sure, file.now[: draw.randint(0, len(file.now))]])
            else:
                found[name] = file.sure
        return found


def recorded(case, here):
    """The calls of a run that concern its folder: (what, file or names, bytes)."""
    log, out = here / "power.log", "recorded"
    case.train(out, before=["strace", "-f", "-qq", "-o", log, "-y", "-xx", "-s", str(1 << 24), "-e", "trace=" + TRACED])
    folder, calls = str(here.resolve() / out) + "/", []

    def own(path):
        path = path if path.startswith("/") else str(here.resolve() / path)
        return path[len(folder):] if path.startswith(folder) else None

    text = lambda match: bytes.fromhex(match.group(1).replace("\\x", ""))  # noqa: E731
    for line in log.read_text().splitlines():
        match = LINE.match(line)
        if not match or int(match.group(3)) < 0:
            continue
        call, rest = match.group(1), match.group(2)
        paths = [text(it).decode() for it in TEXT.finditer(rest)] if not call.endswith("write") else []
        handle = re.match(r"\d+<((?:\\x[0-9a-f]{2}|[^>])*)>", rest)
        path = handle and bytes.fromhex(handle.group(1).replace("\\x", "")).decode() if handle and "\\x" in handle.group(1) else handle and handle.group(1)
        if call == "openat" and "O_CREAT" in rest and own(paths[0]) is not None:
            calls.append(("create", own(paths[0]), "O_TRUNC" in rest))
        elif call == "write" and path and own(path) is not None:
            data = text(next(TEXT.finditer(rest)))[: int(match.group(3))]
            calls.append(("write", own(path), data))
        elif call in ("fsync", "fdatasync") and path:
            if path.rstrip("/") + "/" == folder:
                calls.append(("sync folder", "", None))
            elif own(path) is not None:
                calls.append(("sync", own(path), None))
        elif call.startswith("rename") and own(paths[0]) is not None:
            calls.append(("rename", own(paths[0]), own(paths[-1])))
        elif call.startswith("unlink") and own(paths[-1]) is not None:
            calls.append(("unlink", own(paths[-1]), None))
        elif call in ("pwrite64", "ftruncate") and path and own(path) is not None:
            raise NotImplementedError(line[:200])
    shutil.rmtree(here / out)
    return calls


def play(disk, call):
    what, name, more = call
    if what == "create":
        if name not in disk.names:
            disk.change(name, File())
        elif more:
            disk.names[name].now = b""
    elif what == "write":
        disk.names[name].now += more
    elif what == "sync":
        disk.names[name].sure = disk.names[name].now
    elif what == "sync folder":
        disk.sync()
    elif what == "rename":
        disk.rename(name, more)
    elif what == "unlink":
        disk.change(name, None)


def run(case, here, seed, jobs, lost):
    calls = recorded(case, here)
    if not any(call[0] == "rename" for call in calls):
        raise lost(f"nothing was recorded: {subprocess.run(['tail', '-3', here / 'power.log'], capture_output=True, text=True).stdout}")
    disk, draw, found = Disk(), random.Random(seed), []
    for number, call in enumerate(calls):
        play(disk, call)
        for kind in ("least", "names early", "anything", "anything"):
            found.append((number, kind, disk.after_power_loss(kind, draw)))

    def one(index):
        number, kind, files = found[index]
        out = f"power-{index}"
        (here / out).mkdir()
        for name, data in files.items():
            (here / out / name).write_bytes(data)
        case.check_and_finish(out, f"power lost after call {number} {calls[number][:2]}, {kind}")

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, range(len(found))))
    return f"{len(found)} states of the disk after {len(calls)} calls"
