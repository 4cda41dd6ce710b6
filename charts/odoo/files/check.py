# Whether the Secrets hold what the pods mount, and image and addons have what the settings ask for. Without the database: the Odoo
# before is still at work with it.
import json
import os
import subprocess

import prepare_modules as modules
import prepare_pod as pod
from prepare_pod import Failure, say

WAIT = 300


def secrets(wanted):
    for one in wanted:
        value = pod.secret(one["path"])
        if value is None:
            raise Failure("ConfigurationInvalid", f"The Secret {one['secret']} of {one['value']} is missing, or has no key {one['key']}, and pods "
                          "that mount it would not start. Add the key.")
        pod.check_line(one["value"], value)


def libraries(code, options, names):
    # What Odoo's own folders hold belongs to the image, and its import takes long.
    own = [f"{code.core}/addons", *code.community()]
    asked = {"core": code.core, "folders": [folder.strip() for folder in code.folders], "bin_path": options.get("bin_path", ""),
             "needs": {name: needs for name in sorted(names) if isinstance(needs := code.manifest(name).get("external_dependencies"), dict)},
             "imports": [name for name in sorted(names) if code.place(name) not in own]}
    script = os.path.join(os.path.dirname(__file__), "check_code.py")
    try:
        child = subprocess.run([modules.interpreter(), script], input=json.dumps(asked), stdout=subprocess.PIPE, text=True, timeout=WAIT, check=True)
        lacks = json.loads(child.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        # Nobody's fault that we know of: what runs must not wait for it for ever.
        say(f"libraries and imports are not judged: {error}")
        return
    if lacks:
        more = f" (and {len(lacks) - 10} more)" if lacks[10:] else ""
        raise Failure("ModuleDependencyMissing", f"The image does not serve the addons: {'; '.join(lacks[:10])}{more}. Take an image that has what "
                      "is missing, or mend the addon.", modules=sorted({text.split(' ', 1)[0] for text in lacks}))


def main(known):
    secrets(pod.settings("check")["secrets"])
    settings, options = pod.settings("prepare"), pod.settings("web")
    code = modules.Code(options, settings)
    wanted = settings["modules"]
    names = code.require({*wanted["install"], *("base" if name == "all" else name for name in wanted["named"])})
    modules.fingerprint(settings)
    libraries(code, options, names)


if __name__ == "__main__":
    pod.run(main)
