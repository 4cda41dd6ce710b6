# Whether the image and the addons have what the settings ask for. Without the database: the Odoo before is still at work with it.
import prepare_modules as modules
import prepare_pod as pod


def main(known):
    settings = pod.settings("prepare")
    code = modules.Code(pod.settings("web"), settings)
    wanted = settings["modules"]
    code.require({*wanted["install"], *("base" if name == "all" else name for name in wanted["named"])})
    modules.fingerprint(settings)


if __name__ == "__main__":
    pod.run(main)
