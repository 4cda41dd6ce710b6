import logging
import os
import time

import psycopg2

from odoo import SUPERUSER_ID, api, models, release
from odoo.exceptions import UserError

from ..olic import effects, files, keys, memory as memories, verdict as verdicts, words
from ..olic.claims import Refused
from ..olic.code import open_code, tidy
from ..olic.request import request as request_line
from . import parameters

_logger = logging.getLogger(__name__)

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VERSION = "1.0.0"
# The chart mounts codes here; another place for who installs by hand.
DIRECTORY = os.environ.get("ODOOFLEET_LICENSE_DIR") or "/etc/odoofleet/license"

_keys = None
# Of mounted codes, so that the log says each thing once.
_told = set()


def trusted_keys():
    """The keys beside the manifest. Wrong ones are as good as none, and the log says so."""
    global _keys
    if _keys is None:
        try:
            with open(os.path.join(HERE, "keys.json"), encoding="utf-8") as file:
                _keys = keys.load(file.read())
        except (OSError, ValueError, KeyError, TypeError) as error:
            _logger.error("the licence's public keys cannot be read: %s", error)
            _keys = {}
    return _keys


class License(models.AbstractModel):
    """What other modules ask: `env["odoofleet.license"].status()` and `.require("feature")`."""

    _name = "odoofleet.license"
    _description = "OdooFleet licence"

    @api.model
    def status(self):
        """The licence as plain data: state, reason, sentence, restricted, days, until, plan, features, max_users, trial."""
        verdict = self._verdict()
        claims = verdict.claims
        return {
            "state": verdict.state,
            "reason": verdict.reason,
            "sentence": words.reason(verdict, self._language()),
            "restricted": verdict.restricted,
            "clock_suspect": verdict.suspect,
            "days": verdict.days,
            "until": verdict.until and words.date(verdict.until),
            "plan": claims and claims.plan,
            "features": list(claims.features) if claims else [],
            "max_users": claims and claims.max_users,
            "trial": bool(claims and claims.trial),
        }

    @api.model
    def require(self, feature):
        """Raises, with a sentence for people, unless the licence is in force and includes `feature`."""
        verdict = self._verdict()
        if verdict.restricted:
            raise UserError(words.reason(verdict, self._language()))
        if not verdict.claims or feature not in verdict.claims.features:
            raise UserError(words.label("feature_missing", self._language(), feature=feature))
        return True

    @api.model
    def _verdict(self):
        texts, memory = self._codes(), self._memory()
        return verdicts.judge(texts, trusted_keys(), memory, self._site())

    @api.model
    def _accept(self, text):
        """Takes a code that somebody entered; olic.claims.Refused if it is not good."""
        memory = self._memory()
        kept, memory = verdicts.accept(text, self._codes(), trusted_keys(), memory, self._site())
        parameters.write(self.env, parameters.CODES, "\n".join(kept))
        parameters.write(self.env, parameters.MEMORY, memories.dump(memory))
        self._look()
        return open_code(text, trusted_keys()).claims

    @api.model
    def _check(self):
        """The daily look, at logins, and whenever the page is opened. It never keeps anybody from anything."""
        try:
            with self.env.cr.savepoint():
                self._take_mounted()
                self._look()
        except psycopg2.OperationalError as error:
            # Two workers looked at once: the other one remembers.
            _logger.info("the licence was looked at elsewhere: %s", str(error).strip())

    def _look(self):
        memory = verdicts.remember(self._codes(), trusted_keys(), self._memory(), self._site())
        parameters.write(self.env, parameters.MEMORY, memories.dump(memory))

    def _take_mounted(self):
        """Keeps what was mounted, so that it stays valid where the mount is lost for a while."""
        for text in self._mounted():
            if text in self._kept():
                continue
            try:
                kept, memory = verdicts.accept(text, self._kept(), trusted_keys(), self._memory(), self._site())
            except Refused as refusal:
                if (text, refusal.reason) not in _told:
                    _told.add((text, refusal.reason))
                    _logger.warning("a mounted licence code is not taken over: %s", words.sentence(refusal.reason, "en_US"))
                continue
            parameters.write(self.env, parameters.CODES, "\n".join(kept))
            parameters.write(self.env, parameters.MEMORY, memories.dump(memory))

    def _kept(self):
        return parameters.read(self.env, parameters.CODES).split()

    def _mounted(self):
        return [tidy(text) for text in files.codes(DIRECTORY)]

    def _codes(self):
        kept = self._kept()
        return kept + [text for text in self._mounted() if text not in kept]

    def _memory(self):
        return memories.load(parameters.read(self.env, parameters.MEMORY))

    def _site(self):
        self.env.cr.execute("SELECT extract(epoch FROM clock_timestamp())")
        return verdicts.Site(
            host=int(time.time()),
            database=int(self.env.cr.fetchone()[0]),
            uuid=parameters.read(self.env, "database.uuid"),
            neutralised=bool(parameters.read(self.env, "database.is_neutralized")),
            users=self._users(),
        )

    def _users(self):
        """Internal users that can log in."""
        return self.env["res.users"].sudo().with_context(active_test=True).search_count([
            ("share", "=", False), ("id", "!=", SUPERUSER_ID),
        ])

    def _request(self, claims):
        uuid = parameters.read(self.env, "database.uuid")
        return request_line(uuid, release.major_version, VERSION, self._users(), claims)

    def _who(self):
        """Whom the environment's user counts as."""
        user = self.env.user
        if self.env.su or user.id == SUPERUSER_ID:
            return effects.SYSTEM
        if user.has_group("base.group_system"):
            return effects.ADMINISTRATOR
        return effects.INTERNAL if user.has_group("base.group_user") else effects.OUTSIDE

    def _language(self):
        return self.env.user.lang or self.env.context.get("lang")

    @api.model
    def _session(self):
        """What the web client's page is told."""
        who = self._who()
        if who == effects.SYSTEM:
            # /web/become: a person all the same.
            who = effects.ADMINISTRATOR
        verdict = self._verdict()
        colour = effects.banner(verdict, who)
        if colour is None:
            return {"state": verdict.state}
        text = words.banner(verdict, self._users(), self._language())
        return {"state": verdict.state, "colour": colour, "text": text, "more": words.label("more", self._language())}

    @api.model
    def _refuse_write(self, path, by_session, asked_model):
        """Raises if a write of this environment's user has to be refused."""
        who = self._who()
        # Most writes are decided without looking at any code.
        if not effects.refuses_write(True, who, path, by_session, asked_model):
            return
        verdict = self._verdict()
        if effects.refuses_write(verdict.restricted, who, path, by_session, asked_model):
            reason = words.reason(verdict, self._language())
            raise UserError(words.label("write_refused", self._language(), reason=reason))
