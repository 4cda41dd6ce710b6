# Runs inside `odoo shell`, after the line that gives SETTINGS: nobody may ever meet Odoo's own admin with password admin.
import os
import secrets

PASSWORD = "/run/secrets/bootstrap/password"


def wrong(text):
    print(f"odoofleet-wrong: {text}", flush=True)
    raise SystemExit(1)


def password():
    if not os.path.exists(PASSWORD):
        return secrets.token_urlsafe(32)
    with open(PASSWORD, encoding="utf-8") as file:
        return file.read().rstrip("\r\n")


def company(login):
    values = {"email": login} if "@" in login else {}
    if SETTINGS["country"]:
        country = env["res.country"].search([("code", "=", SETTINGS["country"].upper())], limit=1)
        if not country:
            wrong(f"bootstrap.country: Odoo knows no country {SETTINGS['country']}. Use two letters, such as CN.")
        values.update(country_id=country.id, currency_id=country.currency_id.id)
    main = env.ref("base.main_company")
    main.write(values)
    return main


def people(login):
    admin = env.ref("base.user_admin")
    values = {"login": login, "password": password(), **({"email": login} if "@" in login else {})}
    if SETTINGS["timeZone"]:
        if SETTINGS["timeZone"] not in dict(env["res.partner"]._fields["tz"]._description_selection(env)):
            wrong(f"bootstrap.timeZone: Odoo knows no time zone {SETTINGS['timeZone']}. Use names such as Asia/Shanghai.")
        values["tz"] = SETTINGS["timeZone"]
        env["ir.default"].set("res.partner", "tz", SETTINGS["timeZone"])
    main = company(login)
    for code in SETTINGS["languages"][:1]:
        values["lang"] = main.partner_id.lang = code
        env["ir.default"].set("res.partner", "lang", code)
    admin.write(values)
    # Those that demo data brings have passwords that everybody knows.
    env.cr.execute("SELECT id FROM res_users WHERE active AND password <> '' AND id <> %s", [admin.id])
    for (user,) in env.cr.fetchall():
        env["res.users"].browse(user).password = secrets.token_urlsafe(32)


people(SETTINGS["adminLogin"])
# In the transaction of all the above: it happened, or it did not.
env.cr.execute("INSERT INTO odoofleet_prepare VALUES ('bootstrapped', 'true') ON CONFLICT DO NOTHING")
env.cr.commit()
