# Asks the Python that runs Odoo for what addons need: JSON in, one line of JSON out. A process of its own, as an addon that is
# imported may do anything.
import importlib
import importlib.util
import json
import os
import re
import shutil
import sys
import traceback
from importlib import metadata

try:
    from packaging.requirements import InvalidRequirement, Requirement
except ImportError:
    Requirement = None


def library(text):
    # Why the image does not satisfy a requirement, None if it does. As Odoo: a distribution, or in old manifests what is imported.
    name, specifier = re.split(r"[^\w.-]", text.strip(), maxsplit=1)[0], None
    if Requirement:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            return "cannot be read as a requirement"
        if requirement.marker and not requirement.marker.evaluate():
            return None
        name, specifier = requirement.name, requirement.specifier
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return None if imported(name) is None else "is not in the image"
    if specifier and not specifier.contains(version, prereleases=True):
        return f"is in the image as {version}"
    return None


def imported(name):
    # Why a name cannot be imported for want of code. What else goes wrong may come of there being no database here.
    try:
        importlib.import_module(name)
    except (ImportError, SyntaxError) as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
        where = f" ({'/'.join(frames[-1].filename.split('/')[-3:])}, line {frames[-1].lineno})" if frames[1:] else ""
        return f"{type(error).__name__}: {error}{where}"
    except BaseException as error:
        print(f"{name} is not judged, its import failed here: {type(error).__name__}: {error}", flush=True)
    return None


def addons(asked):
    sys.path.insert(0, os.path.dirname(asked["core"]))
    try:
        import odoo
        # Where Odoo sets itself up, from 19 on; it wants to be first.
        if importlib.util.find_spec("odoo.init"):
            importlib.import_module("odoo.init")
        import odoo.addons
    except Exception as error:
        print(f"imports are not judged, as Odoo itself cannot be imported: {error}", flush=True)
        return {}
    for folder in asked["folders"]:
        if os.path.isdir(folder) and folder not in odoo.addons.__path__:
            odoo.addons.__path__.append(folder)
    control = imported("odoo.addons.base")
    if control:
        print(f"imports are not judged, as not even base can be imported: {control}", flush=True)
        return {}
    return {name: why for name in asked["imports"] if (why := imported(f"odoo.addons.{name}"))}


def main():
    # What addons print must not get into the answer.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    path = os.pathsep.join(filter(None, (os.environ.get("PATH"), asked["bin_path"])))
    lacks = []
    for module, needs in asked["needs"].items():
        lacks += [f"{module} needs the Python library {text}, which {why}" for text in needs.get("python", ()) if (why := library(text))]
        lacks += [f"{module} needs the program {name}, which is not in the image" for name in needs.get("bin", ()) if not shutil.which(name, path=path)]
    lacks += [f"{module} cannot be imported: {why}" for module, why in addons(asked).items()]
    print(json.dumps(lacks), file=answer, flush=True)
    # Threads that an addon has begun are not waited for.
    os._exit(0)


if __name__ == "__main__":
    main()
