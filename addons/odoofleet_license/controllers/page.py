from odoo import http
from odoo.http import request

from ..olic import effects, words
from ..olic.claims import Refused
from ..olic.code import LONGEST_TEXT
from ..models import parameters
from .qr import picture


class LicensePage(http.Controller):
    """A page of its own, without Odoo's views and scripts: these differ from series to series, and may be what is broken."""

    @http.route("/odoofleet/license", type="http", auth="user", methods=["GET"])
    def show(self, **_):
        request.env["odoofleet.license"].sudo()._check()
        return self._page()

    @http.route("/odoofleet/license/enter", type="http", auth="user", methods=["POST"], csrf=True)
    def enter(self, code="", file=None, **_):
        license = request.env["odoofleet.license"]
        if license._who() not in (effects.ADMINISTRATOR, effects.SYSTEM):
            return self._page(status=403)
        try:
            text = code
            if file is not None and hasattr(file, "read") and file.filename:
                text = file.read(LONGEST_TEXT + 1).decode("utf-8", "replace")
            claims = license.sudo()._accept(text)
        except Refused as refusal:
            refused = words.sentence(refusal.reason, license._language(), refusal.detail)
            return self._page(refused=refused, entered=code[:LONGEST_TEXT], status=422)
        begins = license._verdict().moment < claims.not_before
        name = "saved_later" if begins else "saved"
        return self._page(saved=words.label(name, license._language(), begins=words.day(claims.not_before)))

    def _page(self, refused=None, saved=None, entered="", status=200):
        license = request.env["odoofleet.license"]
        lang = license._language()
        who = license._who()
        if who == effects.OUTSIDE:
            return request.not_found()
        administrator = who in (effects.ADMINISTRATOR, effects.SYSTEM)
        verdict = license._verdict()
        values = {
            "say": lambda name, **given: words.label(name, lang, **given),
            "language": "zh-CN" if words.language(lang) else "en",
            "verdict": verdict,
            "reason": words.reason(verdict, lang),
            "administrator": administrator,
        }
        if administrator:
            values.update(self._details(license, verdict, lang))
            values.update(refused=refused, saved=saved, entered=entered)
        elif verdict.restricted:
            values["stopped"] = words.label("stopped", lang, reason=values["reason"], people=self._administrators())
        response = request.render("odoofleet_license.page", values)
        response.status_code = status
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    def _details(self, license, verdict, lang):
        claims = verdict.claims
        line = license._request(claims)
        users = license._users()
        rows = [("state", words.STATES[verdict.state][words.language(lang)])]
        if claims:
            plan = claims.plan + (" (%s)" % words.label("trial", lang) if claims.trial else "")
            limit = claims.max_users or words.label("no_limit", lang)
            rows += [
                ("customer", claims.customer),
                ("plan", plan),
                ("features", ", ".join(claims.features) or "–"),
                ("users", "%s / %s" % (users, limit)),
                ("ends", words.date(claims.expires_at)),
            ]
        if verdict.until is not None and not verdict.restricted:
            rows.append(("stops", words.date(verdict.until)))
            # Days count to the end of a licence that runs, else to when people are stopped.
            rows.insert(-1 if verdict.state in ("Active", "ExpiringSoon") else len(rows), ("days", verdict.days))
        if claims:
            rows.append(("serial", "%s · %s" % (claims.license_id, claims.sequence)))
        rows.append(("database", parameters.read(request.env, "database.uuid")))
        notes = []
        if verdict.suspect:
            notes.append(words.label("clock", lang, moment=words.date(verdict.moment)))
        if verdict.crowded:
            notes.append(words.label("crowded", lang, users=users, limit=claims.max_users))
        if parameters.read(request.env, "database.is_neutralized"):
            notes.append(words.label("neutralised", lang))
        return {
            "rows": [(words.label(name, lang), value) for name, value in rows],
            "notes": notes,
            "line": line,
            "qr": picture(line),
            "colour": effects.banner(verdict, effects.ADMINISTRATOR) or "success",
        }

    def _administrators(self):
        group = request.env.ref("base.group_system").sudo()
        users = group.user_ids if "user_ids" in group._fields else group.users
        names = [user.name for user in users if user.active and user.id != 1][:5]
        return ", ".join(names) or "–"
