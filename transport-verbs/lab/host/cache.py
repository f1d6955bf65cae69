"""Where the lab keeps what it downloads and what its runs leave behind."""

import shutil
from pathlib import Path

LAB = Path(__file__).resolve().parent.parent
REPOSITORY = LAB.parent.parent
CACHE = REPOSITORY / "target" / "lab"
LOGS = CACHE / "logs"


def folder_made_once(name, fill):
    """Returns a folder of the cache, filling it if it does not exist yet.

    It is filled under another name and then renamed, so that a folder that exists is whole.
    """
    folder = CACHE / name
    if not folder.is_dir():
        unfinished = CACHE / f"{name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        fill(unfinished)
        unfinished.rename(folder)
    return folder


def emptied_folder(path):
    """Makes a folder, without anything that an earlier run left in it."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def resumed_folder(path):
    """Makes a folder in which `earlier` is what an earlier run left in it."""
    earlier = path.with_name(f"{path.name}.earlier")
    if path.exists():
        shutil.rmtree(earlier, ignore_errors=True)
        path.rename(earlier)
    path.mkdir(parents=True)
    if earlier.exists():
        earlier.rename(path / "earlier")
    return path
